"""One measurement: wrk against one contender, the CPU time of its server, and proof of the right answers."""

from __future__ import annotations

import http.client
import os
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.load import CheckRequest, LoadError, LoadResult, probe, run_wrk
from benchmarks.servers import Server

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_TICK_US = 1_000_000 / _TICKS_PER_SECOND
# How long a Redis must have used no more than a tick, and how long is waited for that.
_STILL_SECONDS = 0.5
_LONGEST_REST_SECONDS = 20.0
# The first checks of a key read the store and run argon2, or spend what is to be spent.
_SETTLING_CHECKS = 3
# Checks of a measurement that wrk doesn't count: its probes, before and after.
_PROBES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one contender did in one round. Where `faults` is not empty it is void, and no figure may be used.

    `cpu_us` is the CPU time of the server process, user and system, for each check; `server_busy` and
    `load_busy` are the parts of the time, 0 to 1, in which server and wrk used their cores. `redis_us` is the
    CPU time of Redis for each check, 0 where none is asked.
    """

    contender: str
    round: int
    connections: int
    faults: tuple[str, ...]
    checks: int = 0
    checks_per_second: float = 0.0
    cpu_us: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    server_busy: float = 0.0
    load_busy: float = 0.0
    redis_us: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is the same for all measurements of a series."""

    connections: int
    seconds: int
    load_core: int
    folder: Path


def let_finish(contender: Contender) -> None:
    """Wait until Redis has nothing left to do for this contender: the next one must not pay for it.

    With many keys in use a server writes usage for seconds after the last check.
    """
    if contender.redis is None:
        return
    deadline = time.monotonic() + _LONGEST_REST_SECONDS
    while time.monotonic() < deadline:
        before = _cpu_us(contender.redis)
        time.sleep(_STILL_SECONDS)
        if _cpu_us(contender.redis) - before <= _TICK_US:
            return


def settle(contender: Contender) -> None:
    """Send the checks after which all others are alike. Wrong answers show in the measurement."""
    for number in range(_SETTLING_CHECKS):
        _probe(contender, f"check {number} to settle")


def measure(contender: Contender, conditions: Conditions, *, number: int) -> Measurement:
    """Measure one contender once, as round `number`."""
    request = contender.request()
    faults = _probe(contender, "before")
    if contender.log is not None:
        contender.log.wait_until_still()
        contender.log.clear()
    used = _used_us(contender)
    try:
        load = _load(contender, conditions, request)
    except LoadError as error:
        return _void(contender, conditions, number, [*faults, str(error)])
    cpu_us, redis_us = (now - before for now, before in zip(_used_us(contender), used, strict=True))
    faults += _wrong_answers(contender, load) + _probe(contender, "after")
    faults += _missing_lines(contender, load, conditions.connections)
    return Measurement(
        contender=contender.name,
        round=number,
        connections=conditions.connections,
        faults=tuple(faults),
        checks=load.requests,
        checks_per_second=load.requests * 1_000_000 / load.duration_us,
        cpu_us=cpu_us / load.requests,
        p50_us=load.p50_us,
        p99_us=load.p99_us,
        server_busy=cpu_us / load.duration_us,
        load_busy=load.busy,
        redis_us=redis_us / load.requests,
    )


def _load(contender: Contender, conditions: Conditions, request: CheckRequest) -> LoadResult:
    return run_wrk(
        contender.server.port,
        request,
        connections=conditions.connections,
        seconds=conditions.seconds,
        core=conditions.load_core,
        folder=conditions.folder,
    )


def _void(contender: Contender, conditions: Conditions, number: int, faults: list[str]) -> Measurement:
    return Measurement(
        contender=contender.name, round=number, connections=conditions.connections, faults=tuple(faults)
    )


def _probe(contender: Contender, when: str) -> list[str]:
    try:
        status = probe(contender.server.port, contender.request())
    except (OSError, http.client.HTTPException) as error:
        return [f"probe {when}: {error!r}"]
    return (
        [] if status == contender.status else [f"probe {when}: status {status} instead of {contender.status}"]
    )


def _wrong_answers(contender: Contender, load: LoadResult) -> list[str]:
    """Compare wrk's counts with what must have come: all refusals or none, and no broken connection."""
    faults = []
    expected = load.requests if contender.status >= http.HTTPStatus.BAD_REQUEST else 0
    if load.refused != expected:
        faults.append(f"{load.refused} of {load.requests} checks were refused instead of {expected}")
    if load.broken:
        faults.append(f"{load.broken} socket errors or time-outs")
    return faults


def _missing_lines(contender: Contender, load: LoadResult, connections: int) -> list[str]:
    """Hold the decision lines against wrk's count.

    When its time is over wrk leaves without the answers under way, at most one on each connection.
    """
    if contender.log is None:
        return []
    contender.log.wait_until_still()
    lines, matching = contender.log.count(contender.code)
    if matching != lines:
        return [f"{lines - matching} of {lines} decision lines are not {contender.code!r}"]
    if not load.requests <= lines <= load.requests + connections + _PROBES:
        return [f"{lines} decision lines for {load.requests} checks"]
    return []


def _used_us(contender: Contender) -> tuple[float, float]:
    """Return the CPU time that the server has used, and its Redis."""
    return _cpu_us(contender.server), 0.0 if contender.redis is None else _cpu_us(contender.redis)


def _cpu_us(server: Server) -> float:
    return parse_cpu_ticks(Path(f"/proc/{server.pid}/stat").read_text()) * _TICK_US


def parse_cpu_ticks(stat: str) -> int:
    """Return user and system time of a process with all its threads, in clock ticks.

    `stat` is the content of `/proc/pid/stat`, see proc(5).
    """
    # The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    user, system = fields[11], fields[12]
    return int(user) + int(system)
