"""The whole demo as somebody runs it who tries extauth: what it prints is pasted into a shell."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .processes import accepts, free_ports, wait_until

_PORTS = ("envoy", "envoy-admin", "nginx", "upstream", "check", "admin", "completion")
_PROGRAMS = 4  # extauth, upstream, Envoy, nginx
_READY_WITHIN = 20.0
_GONE_WITHIN = 10.0
_PROMISE = re.compile(r"^# (?P<status>\d{3}) through (?P<proxy>\w+): .*\n(?P<line>.+)$", re.MULTILINE)


class Demo(NamedTuple):
    """A demo that runs, with a file that takes what it prints."""

    process: subprocess.Popen[bytes]
    directory: Path
    output: Path
    ports: dict[str, int]

    def printed(self) -> str:
        """Return what it has printed so far."""
        return self.output.read_text()

    def wait_for(self, pattern: str, *, within: float = 2.0) -> None:
        """Wait until a line that fits the pattern is printed; AssertionError if the demo ends before."""
        wait_until(
            lambda: re.search(pattern, self.printed()) is not None or self.process.poll() is not None,
            within=within,
            what=pattern,
        )
        assert self.process.poll() is None, self.printed()

    def wait_for_end(self) -> int:
        """Wait until it has ended, and return its exit code."""
        return self.process.wait(_GONE_WITHIN)

    def programs(self) -> set[int]:
        """Return the process ids of everything that it runs, nginx's worker too."""
        return _descendants(self.process.pid)


@contextlib.contextmanager
def _demo(taken: int | None = None) -> Iterator[Demo]:
    # Outside pytest's own folder, which another user, such as nginx's worker, may not enter.
    folder = Path(tempfile.mkdtemp(prefix="extauth-demo-"))
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    if taken is not None:
        ports["nginx"] = taken
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    command = [sys.executable, "-m", "extauth", "demo", "--directory", str(folder / "demo"), *options]
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield Demo(process, folder / "demo", output, ports)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(4 * _GONE_WITHIN)
        shutil.rmtree(folder)


@contextlib.contextmanager
def _ready_demo() -> Iterator[Demo]:
    with _demo() as demo:
        demo.wait_for("Decisions, as they are made", within=_READY_WITHIN)
        yield demo


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A demo that has printed its lines."""
    with _ready_demo() as demo:
        yield demo


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        children = {int(child) for child in tasks.read_text().split()}
        found |= children.union(*(_descendants(child) for child in children))
    return found


def _paste(line: str) -> str:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def _assert_nothing_is_left(demo: Demo, programs: set[int]) -> None:
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in programs),
        within=_GONE_WITHIN,
        what="all programs gone",
    )
    for port in demo.ports.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_every_pasted_line_shows_what_it_promises(demo: Demo) -> None:
    """200, 401, 403 and 429 come through both proxies by pasting what was printed, in its order."""
    promises = [*_PROMISE.finditer(demo.printed())]
    assert [(promise["proxy"], promise["status"]) for promise in promises] == [
        (proxy, status) for proxy in ("Envoy", "nginx") for status in ("200", "401", "403", "429")
    ]
    for promise in promises:
        shown = _paste(promise["line"])
        assert re.findall(r"^HTTP/1\.1 (\d{3})", shown, re.MULTILINE)[-1] == promise["status"], shown
        if promise["status"] == "200":
            assert '"X-Auth-User-Id": "alice"' in shown
            assert '"api_key_received": false' in shown
        else:
            assert f'"status":{promise["status"]}' in shown
        assert ("retry-after:" in shown.lower()) == (promise["status"] == "429")


def test_more_lines_to_paste(demo: Demo) -> None:
    """A client can't name itself, and the key of a pasted line is refused once it is pasted to be revoked."""
    call, revoke = re.findall(r"^# More: .*\n(.+)$", demo.printed(), re.MULTILINE)
    assert "mallory" in call
    assert '"X-Auth-User-Id": "carol"' in _paste(call)
    assert _paste(revoke).startswith("Revoked ")
    wait_until(lambda: "401 Unauthorized" in _paste(call), within=1.0, what="the revoked key refused")


def test_decisions_are_shown_as_they_are_made(demo: Demo) -> None:
    """Each request appears in the terminal at once, with the proxy that it came through."""
    for proxy in ("envoy", "nginx"):
        _paste(f"curl -s http://127.0.0.1:{demo.ports[proxy]}/v1/seen-by-{proxy}")
        demo.wait_for(rf"401 missing_key +{proxy} +GET +/v1/seen-by-{proxy} ")


def test_large_bodies_pass_for_every_user(demo: Demo) -> None:
    """nginx, too, can keep a large body, although its worker would not be the demo's user by itself."""
    key = re.findall(r"X-API-Key: (\S+)'", demo.printed())[0]
    for proxy in ("envoy", "nginx"):
        url = f"http://127.0.0.1:{demo.ports[proxy]}/v1/orders"
        shown = _paste(f"head -c 200000 /dev/zero | curl -s -H 'X-API-Key: {key}' --data-binary @- {url}")
        assert '"body_bytes": 200000' in shown


def test_no_log_holds_a_key(demo: Demo) -> None:
    """The terminal is the only place where the keys' full text stands: no file of the demo has it."""
    keys = set(re.findall(r"X-API-Key: (\S+)'", demo.printed()))
    assert len(keys) == 3
    texts = [file.read_bytes() for file in demo.directory.rglob("*") if file.is_file()]
    for key in keys:
        secret = key.rpartition("_")[2].encode()
        assert not any(secret in text for text in texts)


def test_ctrl_c_stops_everything() -> None:
    """After Ctrl-C the demo ends without complaint, and no process and no port is left."""
    with _ready_demo() as demo:
        programs = demo.programs()
        assert len(programs) >= _PROGRAMS
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait_for_end() == 0
        assert demo.printed().endswith("\nStopping …\n")
        _assert_nothing_is_left(demo, programs)


def test_a_program_that_dies_ends_the_demo() -> None:
    """When one of its programs ends, the demo says which, shows its log's end, and stops the rest."""
    with _ready_demo() as demo:
        programs = demo.programs()
        envoy = next(pid for pid in programs if Path(f"/proc/{pid}/comm").read_text() == "envoy\n")
        os.kill(envoy, signal.SIGKILL)
        assert demo.wait_for_end() == 1
        said = "extauth: Envoy was ended by signal 9, so the demo ends too. The end of its log, "
        assert f"{said}{demo.directory}/envoy.log:\n" in demo.printed()
        _assert_nothing_is_left(demo, programs)


def test_a_killed_demo_leaves_nothing_behind() -> None:
    """Even SIGKILL, which leaves the demo no time to stop anything, leaves no program behind."""
    with _ready_demo() as demo:
        programs = demo.programs()
        demo.process.kill()
        demo.wait_for_end()
        _assert_nothing_is_left(demo, programs)


def test_a_taken_port_is_found_before_anything_starts() -> None:
    """The message names the port, and what to type; the program that has it stays unharmed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with _demo(taken=taken) as demo:
            assert demo.wait_for_end() == 1
            assert f"extauth: port {taken} is taken, by " in demo.printed()
            assert re.search(r"^  make demo .*NGINX_PORT=\d+", demo.printed(), re.MULTILINE)
            assert not demo.directory.exists()
        assert accepts(taken)
