"""Child processes for tests: started with a log file, awaited by polling, ended by their own process id."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_READY_WITHIN = 15.0
_GONE_WITHIN = 10.0
_POLL = 0.02
# As many processes may run tests at once.
_SHARES = 8
_given: deque[int] = deque(maxlen=200)


def wait_until(condition: Callable[[], bool], *, within: float, what: str) -> None:
    """Poll until the condition holds; an AssertionError after `within` seconds names what was waited for."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(_POLL)


def free_ports(count: int) -> list[int]:
    """Return distinct free TCP ports of the loopback interface.

    They lie below the range from which Linux takes the ports of outgoing connections: a program that was
    stopped for a while finds its port still free. Each process that runs tests has its own share of them, and
    what was returned lately isn't returned again: nothing may listen there yet.
    """
    share = range(20_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), 32_000, _SHARES)
    candidates = [port for port in random.SystemRandom().sample(share, 500) if port not in _given]
    ports = list(itertools.islice(filter(_is_free, candidates), count))
    _given.extend(ports)
    return ports


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def accepts(port: int) -> bool:
    """Tell whether something accepts TCP connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Child:
    """One program that can be started, paused, resumed, stopped and started again, with one log file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        folder: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [*command]
        self._log = log
        self._folder = folder
        self._ready = ready
        self._environment = None if environment is None else {**environment}
        self._descriptors: tuple[int, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def start_by(
        self, command: Sequence[str], *, descriptors: Sequence[int], environment: Mapping[str, str]
    ) -> None:
        """Have another program start it from now on, which inherits these, and gets its command line."""
        self._command = [*command, *self._command]
        self._descriptors = tuple(descriptors)
        self._environment = {**(self._environment or {}), **environment}

    def start(self) -> None:
        """Start the program and wait until it is ready; an AssertionError shows the end of its log."""
        assert self._process is None, "still running"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self._descriptors,
            )
        try:
            wait_until(self._ready_or_dead, within=_READY_WITHIN, what=f"{self._command[0]} ready")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.output()[-3000:]}") from None

    def stop(self) -> None:
        """End the program and wait for it; a program that does not go in time is killed."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.poll() is None:
            # A stopped process would keep SIGTERM pending.
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            process.wait(_GONE_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self) -> int:
        """Wait for a program that was asked to end; return its exit code."""
        assert self._process is not None, "not running"
        process, self._process = self._process, None
        return process.wait(_GONE_WITHIN)

    def kill(self) -> None:
        """Kill the program as a crash would: it gets no chance to finish anything."""
        assert self._process is not None, "not running"
        process, self._process = self._process, None
        process.kill()
        process.wait()

    def pause(self) -> None:
        """Freeze the program: the kernel goes on accepting connections for it, but nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused program go on."""
        self.signal(signal.SIGCONT)

    def output(self) -> str:
        """Return everything the program wrote, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        assert self._process is not None, "not running"
        self._process.send_signal(number)

    def files(self) -> set[str]:
        """Return the paths of the files that the program has open."""
        assert self._process is not None, "not running"
        found = set()
        for descriptor in Path(f"/proc/{self._process.pid}/fd").iterdir():
            # One may be closed meanwhile.
            with contextlib.suppress(FileNotFoundError):
                found.add(str(descriptor.readlink()))
        return found

    def _ready_or_dead(self) -> bool:
        assert self._process is not None, "not running"
        assert self._process.poll() is None, f"ended with {self._process.returncode}"
        return self._ready()
