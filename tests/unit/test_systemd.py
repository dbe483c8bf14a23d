"""What systemd says to a server, and what it is told: a few variables, and datagrams."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.errors import ConfigError
from extauth.server import sockets, systemd
from extauth.server.sockets import Sockets
from extauth.server.systemd import Handed, Notifier, take_notifier, take_sockets
from extauth.settings.model import ListenSettings
from extauth.settings.values import Address

ME = 4711
# Everywhere a port that the system chooses.
LISTEN = ListenSettings(
    check=Address("127.0.0.1", 0), admin=Address("127.0.0.1", 0), completion=Address("127.0.0.1", 0)
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close all sockets at the end."""
    with ExitStack() as stack:
        yield stack


def handed(stack: ExitStack, name: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> Handed:
    """Return a socket as systemd hands it over."""
    made = stack.enter_context(socket.socket(socket.AF_INET, kind))
    made.bind(("127.0.0.1", 0))
    return Handed(name, made)


def close(taken: Sockets) -> None:
    """Close all of them."""
    for each in (taken.check, taken.admin, *taken.completion):
        each.close()


def test_variables_for_another_process_are_not_ours() -> None:
    """A child of a service inherits them too; they go no further than here in any case."""
    environ = {"LISTEN_PID": "4712", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "check", "PATH": "/bin"}
    assert list(take_sockets(environ, process_id=ME)) == []
    assert environ == {"PATH": "/bin"}


def test_sockets_are_taken_from_the_third_descriptor_on(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, by their names; no process that this one starts inherits them unasked."""
    made = [handed(stack, "check").socket.detach(), handed(stack, "", socket.SOCK_DGRAM).socket.detach()]
    first = 200
    for number, descriptor in enumerate(made):
        os.dup2(descriptor, first + number)
        os.close(descriptor)
    monkeypatch.setattr(systemd, "_FIRST", first)
    environ = {"LISTEN_PID": str(ME), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "check:completion"}
    taken = take_sockets(environ, process_id=ME)
    for each in taken:
        stack.enter_context(each.socket)
    assert [(each.name, each.socket.type) for each in taken] == [
        ("check", socket.SOCK_STREAM),
        ("completion", socket.SOCK_DGRAM),
    ]
    assert [each.socket.fileno() for each in taken] == [200, 201]
    assert not any(each.socket.get_inheritable() for each in taken)
    assert environ == {}


@pytest.mark.parametrize(
    ("count", "names", "said"),
    [
        ("two", "", "LISTEN_FDS: 'two' is not a number of sockets"),
        ("2", "check", "LISTEN_FDNAMES: 1 names for 2 sockets"),
        ("1", "check:admin", "LISTEN_FDNAMES: 2 names for 1 sockets"),
    ],
)
def test_what_makes_no_sense_is_refused(count: str, names: str, said: str) -> None:
    """By one line that says what is wrong."""
    environ = {"LISTEN_PID": str(ME), "LISTEN_FDS": count, "LISTEN_FDNAMES": names}
    with pytest.raises(ConfigError, match=said):
        take_sockets(environ, process_id=ME)


def test_what_is_no_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or nothing at all."""
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(systemd, "_FIRST", file.fileno())
        with pytest.raises(ConfigError, match="is no socket"):
            take_sockets({"LISTEN_PID": str(ME), "LISTEN_FDS": "1"}, process_id=ME)


@given(
    st.dictionaries(st.sampled_from(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]), st.text(max_size=8)),
)
def test_whatever_the_variables_hold_is_taken_or_refused(environ: dict[str, str]) -> None:
    """Never a fault; nothing of it is left for others."""
    said = {**environ, "LISTEN_PID": str(ME)}
    # Numbers of descriptors that may be open here are for the tests above.
    if said.get("LISTEN_FDS", "").isdigit() and said["LISTEN_FDS"].strip("0"):
        said["LISTEN_FDS"] = "-"
    with contextlib.suppress(ConfigError):
        assert list(take_sockets(said, process_id=ME)) == []
    assert said == {}


def test_what_was_handed_over_is_used_and_the_rest_bound(stack: ExitStack) -> None:
    """Whatever the settings say about the former."""
    check = handed(stack, "check")
    with_datagrams = handed(stack, "completion", socket.SOCK_DGRAM)
    taken = Sockets.take(LISTEN, [check, with_datagrams])
    assert taken.check is check.socket
    assert taken.completion.datagrams is with_datagrams.socket
    assert taken.admin.getsockname()[1] != 0
    assert taken.completion.listener.type == socket.SOCK_STREAM
    assert taken.check_is_held
    close(taken)


def test_without_any_all_are_bound() -> None:
    """And nobody can wait in them yet."""
    taken = Sockets.take(LISTEN, [])
    assert not taken.check_is_held
    assert taken.completion.listener.getsockname() == taken.completion.datagrams.getsockname()
    close(taken)


def test_completion_may_be_one_unit_or_two(stack: ExitStack) -> None:
    """All sockets of a systemd unit have one name; their kind tells them apart."""
    listener, datagrams = handed(stack, "completion"), handed(stack, "completion", socket.SOCK_DGRAM)
    apart = handed(stack, "completion-datagrams", socket.SOCK_DGRAM)
    for given_datagrams in (datagrams, apart):
        taken = Sockets.take(LISTEN, [listener, given_datagrams])
        assert taken.completion == (listener.socket, given_datagrams.socket)
        taken.check.close()
        taken.admin.close()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["extauth.socket"], "'extauth.socket' is none of check, admin, completion, completion-datagrams"),
        ([""], "'' is none of"),
        (["check", "check"], "'check' was handed over twice"),
    ],
)
def test_a_name_that_means_nothing_is_refused(stack: ExitStack, names: list[str], said: str) -> None:
    """Else a listener would be bound beside it, and connections would wait for ever."""
    with pytest.raises(ConfigError, match=said):
        Sockets.take(LISTEN, [handed(stack, name) for name in names])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("check", socket.SOCK_DGRAM),
        ("admin", socket.SOCK_DGRAM),
        ("completion-datagrams", socket.SOCK_STREAM),
    ],
)
def test_a_socket_of_the_wrong_kind_is_refused(stack: ExitStack, name: str, kind: socket.SocketKind) -> None:
    """With its name."""
    with pytest.raises(ConfigError, match=f"'{name}' is of the wrong kind"):
        Sockets.take(LISTEN, [handed(stack, name, kind)])


def test_all_names_are_known() -> None:
    """Those that the documentation lists."""
    page = (Path(__file__).parents[2] / "docs" / "restarts.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in sockets.NAMES)


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_systemd_is_told_how_the_server_is(tmp_path: Path, kind: str) -> None:
    """One datagram each, in its words; a reload with its time, and nothing more once the server stops."""
    address = str(tmp_path / "notify") if kind == "file" else f"@extauth-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        receiver.settimeout(5)
        environ = {"NOTIFY_SOCKET": address}
        notifier = take_notifier(environ)
        assert environ == {}
        for tell in (notifier.ready, notifier.reloading, notifier.stopping, notifier.ready):
            tell()
        told = [
            dict(line.split("=", 1) for line in receiver.recv(4096).decode().split("\n")) for _ in range(3)
        ]
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(1)
    assert (told[0]["READY"], told[0]["MAINPID"]) == ("1", str(os.getpid()))
    assert told[1]["RELOADING"] == "1"
    assert int(told[1]["MONOTONIC_USEC"]) > 0
    assert told[2]["STOPPING"] == "1"


def test_that_a_server_is_ready_is_not_lost_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systemd may be busy: it is waited for, and what only tells more is not."""
    monkeypatch.setattr(systemd, "_ROOM_WITHIN_SECONDS", 30.0)
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver, ThreadPoolExecutor(1) as beside:
        receiver.bind(address)
        receiver.settimeout(5)
        notifier, many = Notifier(address), 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.sendto(b"", address)
                    many += 1
        notifier.reloading()
        telling = beside.submit(notifier.ready)
        wait({telling}, timeout=0.1)
        assert [receiver.recv(4096) for _ in range(many)] == [b""] * many
        assert receiver.recv(4096).startswith(b"READY=1")


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_nobody_need_listen(address: str) -> None:
    """Without systemd nothing is told, and if it has gone nothing fails."""
    Notifier(address).ready()
