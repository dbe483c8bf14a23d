"""Servers as child processes on one core: started, awaited, and stopped by their own process id."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.cores import pinned
from benchmarks.load import HOST, check_request, probe

REPOSITORY = Path(__file__).resolve().parent.parent
_READY_SECONDS = 20.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_OUTPUT_SHOWN = 2_000


class ServerError(Exception):
    """A server did not start, or ended by itself."""


class Server:
    """One running server: its process id and the port where it answers checks."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.pid = process.pid
        self.port = port

    def stop(self) -> None:
        """End the process and wait for it; kill it where it doesn't go."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(
    command: Sequence[str],
    *,
    port: int,
    core: int,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    ready: Callable[[int], bool] | None = None,
) -> Server:
    """Start a program on one core and wait until it is `ready` at its port, by default to answer checks.

    Raises:
        ServerError: It ended, or was not ready in time; with the end of its output.
    """
    output = folder / f"output-{port}.txt"
    with output.open("wb") as log, pinned(core):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**clean_environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, port)
    try:
        if _becomes_ready(process, lambda: (ready or answers)(port)):
            return server
    except BaseException:
        server.stop()
        raise
    server.stop()
    raise ServerError(f"{' '.join(command)}: not ready\n{output.read_text()[-_OUTPUT_SHOWN:]}")


def _becomes_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if ready():
            return True
        time.sleep(_POLL_SECONDS)
    return False


def start_uvicorn(
    application: str, *, core: int, folder: Path, environment: Mapping[str, str] | None = None
) -> Server:
    """Start an ASGI application on uvicorn at its fastest: uvloop, httptools, no access log, no lifespan."""
    port = free_ports(1)[0]
    options = [
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--lifespan",
        "off",
        "--log-level",
        "warning",
    ]
    where = ["--app-dir", str(REPOSITORY), "--host", HOST, "--port", str(port)]
    command = [sys.executable, "-m", "uvicorn", application, *where, *options]
    return start(command, port=port, core=core, folder=folder, environment=environment)


def answers(port: int) -> bool:
    """Tell whether something answers checks there, with whatever status."""
    try:
        probe(port, check_request("none"))
    except (OSError, http.client.HTTPException):
        return False
    return True


def cpu_clock(pid: int) -> int:
    """Return the clock of the CPU time of another process, all its threads together.

    See clock_getcpuclockid(3) and linux/posix-timers.h.
    """
    return ~pid << 3 | 2


def free_ports(count: int) -> list[int]:
    """Return distinct free TCP ports of the loopback interface; all are held while they are collected."""
    held = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of extauth, which would change what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("EXTAUTH_")}
    # Servers are started in a temporary folder, where Python would not find what isn't installed.
    search = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": search}
