"""Starts the demo's programs, notices when one ends, and stops all of them by their process ids."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from extauth.demo.errors import DemoError
from extauth.demo.terminal import printable

_READY_SECONDS = 20.0
_STOP_SECONDS = 8.0
_POLL_SECONDS = 0.02
_SHOWN_LOG_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of the demo: what to run, where, what goes where, and how to see that it serves."""

    name: str
    command: tuple[str, ...]
    folder: Path
    log: Path
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] | None = None


class Programs:
    """Programs that run. Whoever starts some calls `stop` in the end, whatever happens in between."""

    def __init__(self) -> None:
        self._running: list[tuple[Program, subprocess.Popen[bytes]]] = []

    def start(self, program: Program) -> None:
        """Start a program, with all its output in its log file, which begins anew.

        Raises:
            DemoError: It can't be run.
        """
        try:
            with program.log.open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - the commands are the demo's own
                    [*_ended_with_parent(), *program.command],
                    cwd=program.folder,
                    env=program.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Out of reach of the terminal's Ctrl-C, so that all are stopped in order.
                    start_new_session=True,
                )
        except OSError as error:
            raise DemoError(f"{program.name} can't be started: {error.strerror}") from error
        self._running.append((program, process))

    def wait_until_ready(self, *, give_up: Callable[[], bool]) -> None:
        """Wait until every program serves, or until `give_up` says that nobody wants to wait any more.

        Raises:
            DemoError: One ended, or doesn't serve in time.
        """
        waiting = [program for program, _ in self._running]
        deadline = time.monotonic() + _READY_SECONDS
        while not give_up():
            self.require_alive()
            waiting = [program for program in waiting if not program.is_ready()]
            if not waiting:
                return
            if time.monotonic() > deadline:
                late = waiting[0]
                raise DemoError(f"{late.name} gives no answer in {_READY_SECONDS:.0f} s. {_end_of_log(late)}")
            time.sleep(_POLL_SECONDS)

    def require_alive(self) -> None:
        """Make sure that every program still runs.

        Raises:
            DemoError: One ended; the error shows the end of its log.
        """
        for program, process in self._running:
            if (code := process.poll()) is not None:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
                raise DemoError(f"{program.name} {how}, so the demo ends too. {_end_of_log(program)}")

    def stop(self) -> None:
        """Stop every program, the last started first. One that doesn't go in time is killed."""
        while self._running:
            _, process = self._running.pop()
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def accepts(port: int) -> bool:
    """Tell whether something accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@functools.cache
def _ended_with_parent() -> tuple[str, ...]:
    """Return what to put before a command so that the kernel ends it when this process is killed outright.

    That is util-linux's setpriv, which then becomes the command under the same process id. Where there is
    none, or one without this option (BusyBox), a demo that is killed leaves its programs behind.
    """
    program = shutil.which("setpriv")
    if program is None:
        return ()
    prefix = (program, "--pdeathsig", "TERM", "--")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)  # noqa: S603 - the demo's own command
    return prefix if tried.returncode == 0 else ()


def _end_of_log(program: Program) -> str:
    lines = program.log.read_text(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
    if not lines:
        return f"Its log {program.log} is empty."
    return "\n".join([f"The end of its log, {program.log}:", *(f"  {printable(line)}" for line in lines)])
