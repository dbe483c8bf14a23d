"""The load: a check as Envoy sends it, repeated by wrk. It knows no contender and compares nothing."""

from __future__ import annotations

import http.client
import json
import re
import resource
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.cores import pinned

HOST = "127.0.0.1"
# The last group of a UUID, where each request has its number.
_NUMBER_DIGITS = 12
# How long wrk may take beyond the measured time: its start, and the answers that it waits for at the end.
_GRACE_SECONDS = 15
# How often it is told within that time, if it is to end before.
_TOLD_TO_END = 50
_PROBE_SECONDS = 5.0
# How many checks with keys not seen before are under way: fewer than extauth lets wait for argon2.
_AT_ONCE = 32

_SCRIPT = """\
local pieces, number = {{{pieces}}}, 0
function request()
  number = number + 1
  return {beginning}table.concat(pieces, string.format("%0{digits}x", number))
end
function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    "measured requests=%d duration_us=%d p50_us=%d p99_us=%d refused=%d broken=%d",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


# What comes before, where each check carries another key. They are read as they are needed, and none is kept:
# with 100,000 of them in memory LuaJIT seldom collects garbage, and keeps thousands of requests until then.
# Looking at few letters of a long text, it finds many alike: now and then wrk took five times as long.
_KEYS = """\
local keys = io.open({file})
local function next_key()
  local key = keys:read()
  if key then return key end
  keys:seek("set")
  return keys:read()
end
"""
_BEGINNING = "{start} .. next_key() .. "


class LoadError(Exception):
    """wrk could not be run, or did not say what it measured."""


class CheckRequest(NamedTuple):
    """The text of a check around the places of the number that makes it unlike all others. It holds a key.

    With `keys` each check carries the next one of them, between `start` and `pieces`.
    """

    pieces: tuple[str, ...]
    start: str = ""
    keys: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "CheckRequest(…)"

    def numbered(self, number: int) -> bytes:
        """Return one whole request."""
        key = self.keys[number % len(self.keys)] if self.keys else ""
        return f"{self.start}{key}{f'{number:0{_NUMBER_DIGITS}x}'.join(self.pieces)}".encode("ascii")

    def script(self, keys_file: Path) -> str:
        """Return the Lua script that makes wrk send these requests and report in one line.

        Where there are `keys`, it reads them from the file. JSON's escapes of such text mean the same in Lua.
        """
        pieces = ", ".join(map(json.dumps, self.pieces))
        before = _KEYS.format(file=json.dumps(str(keys_file))) if self.keys else ""
        beginning = _BEGINNING.format(start=json.dumps(self.start)) if self.keys else ""
        return before + _SCRIPT.format(pieces=pieces, digits=_NUMBER_DIGITS, beginning=beginning)


def check_request(key: str, *, fresh_path: bool = False) -> CheckRequest:
    """Return what Envoy's ext_authz filter sends for a client's `GET /v1/orders/42` with this key.

    With `fresh_path` each asks for another order.

    Names and order are those of Envoy 1.40 with an HTTP service. Each call begins new request ids: a service
    that takes a repeated id for a repeated check must not get its answers cheaper than in real life.
    """
    line = (
        ("GET /envoy/v1/orders/", _BEFORE_KEY) if fresh_path else (f"GET /envoy/v1/orders/42{_BEFORE_KEY}",)
    )
    request_id, after = _after_key()
    return CheckRequest((*line[:-1], f"{line[-1]}{key}{request_id}", after))


def check_request_of_each(keys: tuple[str, ...]) -> CheckRequest:
    """Return the same check, with one key after the other."""
    return CheckRequest(_after_key(), f"GET /envoy/v1/orders/42{_BEFORE_KEY}", keys)


_BEFORE_KEY = " HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 0\r\nauthorization: Bearer "


def _after_key() -> tuple[str, str]:
    """Return what follows the key: up to the number in the request id, and all that comes after it."""
    after = (
        "\r\n"
        "x-forwarded-proto: https\r\n"
        "x-extauth-client-ip: 192.0.2.7\r\n"
        "x-envoy-internal: true\r\n"
        "x-envoy-expected-rq-timeout-ms: 1000\r\n"
        "\r\n"
    )
    return f"\r\nx-request-id: {str(uuid.uuid4())[:-_NUMBER_DIGITS]}", after


def probe(port: int, request: CheckRequest) -> int:
    """Send one check on a connection of its own and return the status of its answer.

    Raises:
        OSError: Nobody answered in time.
        HTTPException: The answer was not HTTP.
    """
    with socket.create_connection((HOST, port), timeout=_PROBE_SECONDS) as connection:
        connection.sendall(request.numbered(0))
        return _status_of_answer(connection)


def ask_each(port: int, request: CheckRequest) -> list[int]:
    """Send one check with each key, several at once, and return the status of each answer.

    Raises as `probe` does.
    """
    statuses: list[int] = []
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((HOST, port), timeout=_PROBE_SECONDS))
            for _ in range(_AT_ONCE)
        ]
        for first in range(0, len(request.keys), _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, len(request.keys)))
            asked = list(zip(connections, numbers, strict=False))
            for connection, number in asked:
                connection.sendall(request.numbered(number))
            statuses += [_status_of_answer(connection) for connection, _ in asked]
    return statuses


def _status_of_answer(connection: socket.socket) -> int:
    answer = http.client.HTTPResponse(connection, method="GET")
    answer.begin()
    answer.read()
    return answer.status


class LoadResult(NamedTuple):
    """What wrk measured. `refused` counts statuses of 400 and more, `broken` socket errors and time-outs.

    `busy` is the part of the time in which wrk used its core, 0 to 1.
    """

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    refused: int
    broken: int
    busy: float


@contextmanager
def wrk_command(
    port: int, request: CheckRequest, *, connections: int, seconds: int, folder: Path
) -> Iterator[list[str]]:
    """Give the command that sends checks over kept-alive connections, as fast as they are answered."""
    # The key stands in a file of a private folder, because everybody may read command lines.
    script, keys = folder / "checks.lua", folder / "keys.txt"
    keys.write_text("".join(f"{key}\n" for key in request.keys))
    script.write_text(request.script(keys))
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    try:
        yield ["wrk", *options, f"http://{HOST}:{port}"]
    finally:
        script.unlink()
        keys.unlink()


def run_wrk(
    port: int, request: CheckRequest, *, connections: int, seconds: int, core: int, folder: Path
) -> LoadResult:
    """Send checks for some seconds. See `wrk_command`.

    Raises:
        LoadError: wrk did not end, or did not say what it measured.
    """
    before = _children_cpu_seconds()
    at_most = seconds + _GRACE_SECONDS
    with wrk_command(port, request, connections=connections, seconds=seconds, folder=folder) as command:
        try:
            with pinned(core):
                done = subprocess.run(command, capture_output=True, text=True, timeout=at_most, check=False)
        except subprocess.TimeoutExpired:
            raise LoadError(f"wrk did not end within {at_most} s") from None
    used = _children_cpu_seconds() - before
    return parse_wrk(done.stdout, cpu_seconds=used)


class PausedLoad:
    """wrk that sends checks in its turns only: else it stands still, and its server has nothing to answer."""

    def __init__(self, command: Sequence[str], *, core: int) -> None:
        with pinned(core):
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def go_on(self) -> None:
        """Begin a turn."""
        self._process.send_signal(signal.SIGCONT)

    def pause(self) -> None:
        """End a turn: what is under way is answered, and nothing more is asked."""
        self._process.send_signal(signal.SIGSTOP)

    def end(self) -> LoadResult:
        """End it before its time, and return what it measured in all turns. Raises LoadError."""
        self.go_on()
        for _ in range(_TOLD_TO_END):
            # Any of its threads may hear it, and only one of them thereby learns that it has slept enough.
            self._process.send_signal(signal.SIGINT)
            try:
                output, _ = self._process.communicate(timeout=_GRACE_SECONDS / _TOLD_TO_END)
            except subprocess.TimeoutExpired:
                continue
            return parse_wrk(output, cpu_seconds=0.0)
        raise LoadError("wrk did not end when it was told to")

    def close(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.communicate()


def parse_wrk(output: str, *, cpu_seconds: float) -> LoadResult:
    """Read the line that the script prints at the end. Raises LoadError."""
    line = re.search(r"^measured (.+)$", output, re.MULTILINE)
    if line is None:
        raise LoadError("wrk ended without its figures")
    figures = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line[1])}
    if not figures["requests"]:
        raise LoadError("not one check was answered")
    return LoadResult(
        requests=figures["requests"],
        duration_us=figures["duration_us"],
        p50_us=figures["p50_us"],
        p99_us=figures["p99_us"],
        refused=figures["refused"],
        broken=figures["broken"],
        busy=cpu_seconds * 1_000_000 / figures["duration_us"],
    )


def _children_cpu_seconds() -> float:
    """Return the CPU time of all children that have ended: while wrk runs, no other child does."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
