"""Measures what the report of a request's end costs the service, beside what a check costs it.

    python benchmarks/signals.py
    python benchmarks/signals.py --only signal-otlp redis-signal-otlp --rounds 9

See benchmarks/README.md for what is measured, and how.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path

from benchmarks.cores import Cores, choose_cores, pinned
from benchmarks.load import HOST, LoadError, check_request
from benchmarks.machine import describe_machine
from benchmarks.many import ManyKeys
from benchmarks.ratios import Spread, spread
from benchmarks.redis_server import start_redis
from benchmarks.report import machine_line
from benchmarks.servers import Server, ServerError, cpu_clock
from benchmarks.service import Keys, Service
from benchmarks.signal_load import AnswerError, Ended, Wires, leased, line, log_request

ON_REDIS = "redis-"
# What a report may cost of a check, and what a check with a lease may.
BOUND = 0.5
LEASED_BOUND = 1.3
# How many checks come before as many reports, by the name of the shape.
SHAPES = {"pairs": 1, "blocks": 32}
_CHECKS_EACH_ROUND = 1_024
# Enough for every form of report to be familiar, and for caches to be warm.
_WARM_UP_CHECKS = 512
# The server is idle once it has used nothing for so long, in seconds.
_STILL_SECONDS = 0.0004
_IDLE_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A running server, the Redis that it asks, its keys, and the connections to it."""

    server: Server
    redis: Server | None
    service: Service
    keys: Keys = field(repr=False)
    checks: Wires
    reports: Wires
    datagrams: socket.socket


Send = Callable[[Side, Sequence[Ended]], None]


def _send_batch(side: Side, ended: Sequence[Ended]) -> None:
    side.reports.ask([log_request(ended, time.time_ns())])


def _send_single(side: Side, ended: Sequence[Ended]) -> None:
    side.reports.ask([log_request([one], time.time_ns()) for one in ended])


def _send_datagrams(side: Side, ended: Sequence[Ended]) -> None:
    for one in ended:
        side.datagrams.sendto(line(one), (HOST, side.service.completion_port))


FORMS: dict[str, Send] = {
    "signal-otlp": _send_batch,
    "signal-otlp-single": _send_single,
    "signal-datagram": _send_datagrams,
}
CONTENDERS = (*FORMS, *(ON_REDIS + name for name in FORMS))
# The bounds are for what shipped configurations send, to a server that is busy. One that gets a single check
# and then a single report spends its time on waking up, for both the same, and has time.
_BOUNDED = {name for name in CONTENDERS if not name.endswith("single")}
_BUSY = "blocks"


@dataclass(slots=True)
class Used:
    """CPU time of the server for checks without a lease, with one, and for reports; of how many of each."""

    check_us: float = 0.0
    leased_us: float = 0.0
    report_us: float = 0.0
    count: int = 0

    @property
    def ratio(self) -> float:
        """A report's, of a check's."""
        return self.report_us / self.check_us

    @property
    def leased_ratio(self) -> float:
        """That of a check with a lease which is ended by its report, of one without."""
        return self.leased_us / self.check_us


class Meter:
    """Measures the CPU time that a server uses, all its threads together; `asked` are those that it asks."""

    def __init__(self, pid: int, *asked: int) -> None:
        self._clocks = [cpu_clock(each) for each in (pid, *asked)]
        self._stats = [Path(f"/proc/{each}/stat") for each in (pid, *asked)]

    def used_us(self) -> float:
        """Return what it has used since it started, once none of them has anything to do."""
        deadline = time.monotonic() + _IDLE_WITHIN_SECONDS
        before, now = [-1.0], self._now()
        while (before != now or not self._sleep()) and time.monotonic() < deadline:
            time.sleep(_STILL_SECONDS)
            before, now = now, self._now()
        return now[0] * 1_000_000

    def _now(self) -> list[float]:
        return [time.clock_gettime(clock) for clock in self._clocks]

    def _sleep(self) -> bool:
        """Tell whether their main threads wait, and not for a processor: see proc(5)."""
        return all(stat.read_text().rpartition(") ")[2].startswith("S") for stat in self._stats)


def measure(side: Side, send: Send, shape: int, checks: int, numbers: count[int]) -> Used:
    """Send checks and reports in turn. Raises AnswerError where an answer or a count is wrong."""
    redis = () if side.redis is None else (side.redis.pid,)
    meter, used = Meter(side.server.pid, *redis), Used()
    plain, counted = check_request(side.keys.allowed), check_request(side.keys.leased)
    before = _ended(side.service)
    for _ in range(checks // shape):
        some = [next(numbers) for _ in range(shape)]
        began = meter.used_us()
        side.checks.ask([plain.numbered(number) for number in some])
        used.check_us += meter.used_us() - began
        began = meter.used_us()
        ended = leased(counted, some, side.checks)
        used.leased_us += meter.used_us() - began
        began = meter.used_us()
        send(side, ended)
        used.report_us += meter.used_us() - began
        used.count += shape
    told = _ended(side.service) - before
    if told != used.count:
        raise AnswerError(f"{told} of {used.count} leases were ended")
    return used


def _ended(service: Service) -> int:
    """Return how many leases were ended by reports."""
    with urllib.request.urlopen(f"http://{HOST}:{service.admin_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r'^extauth_leases_ended_total\{by="signal"\} ([0-9.e+]+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def _start(stack: ExitStack, service: Service, cores: Cores, redis: Server | None = None) -> Side:
    keys = service.create_keys()
    server = service.serve(core=cores.server)
    stack.callback(server.stop)
    most = max(SHAPES.values())
    datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    checks, reports = Wires(stack, server.port, most), Wires(stack, service.completion_port, most)
    return Side(
        server=server,
        redis=redis,
        service=service,
        keys=keys,
        checks=checks,
        reports=reports,
        datagrams=datagrams,
    )


def _sides(stack: ExitStack, only: Sequence[str], cores: Cores, folder: Path) -> dict[bool, Side]:
    """Start what is asked for, on Redis or not. Raises ServerError."""
    sides: dict[bool, Side] = {}
    if any(not name.startswith(ON_REDIS) for name in only):
        sides[False] = _start(stack, Service(folder), cores)
    if any(name.startswith(ON_REDIS) for name in only):
        inner = folder / "redis"
        inner.mkdir()
        redis = start_redis(core=cores.load, folder=inner)
        stack.callback(redis.server.stop)
        sides[True] = _start(stack, ManyKeys(1).service(inner, redis), cores, redis.server)
    return sides


def run(options: Options) -> int:
    """Measure in turn, and print. Returns 0 with all figures, 1 where some are void."""
    cores = choose_cores()
    print(machine_line(describe_machine()))
    print(f"server on core {cores.server}, load and Redis on core {cores.load}")
    with tempfile.TemporaryDirectory(prefix="extauth-benchmark-") as name, ExitStack() as stack:
        sides = _sides(stack, options.only, cores, Path(name))
        stack.enter_context(pinned(cores.load))
        found = _measure_all(options, sides)
    for (contender, shape), all_used in found.items():
        if all_used:
            print(_row(contender, shape, all_used))
    wanted = len(found) * options.rounds
    return int(sum(map(len, found.values())) < wanted)


def _measure_all(options: Options, sides: Mapping[bool, Side]) -> dict[tuple[str, str], list[Used]]:
    """Measure all contenders in turn, round after round, so that each meets the machine in all its moods."""
    numbers = count(1)
    found: dict[tuple[str, str], list[Used]] = {}
    for number, contender, shape in product(range(options.rounds + 1), options.only, SHAPES):
        side, send = sides[contender.startswith(ON_REDIS)], FORMS[contender.removeprefix(ON_REDIS)]
        kept = found.setdefault((contender, shape), [])
        checks = _CHECKS_EACH_ROUND if number else _WARM_UP_CHECKS
        try:
            used = measure(side, send, SHAPES[shape], checks, numbers)
        except AnswerError as error:
            print(f"VOID: round {number}, {contender}, {shape}: {error}")
            continue
        if number:
            kept.append(used)
    return found


def _row(contender: str, shape: str, all_used: Sequence[Used]) -> str:
    ratio = _spread(used.ratio for used in all_used)
    check = _spread(used.check_us / used.count for used in all_used)
    report = _spread(used.report_us / used.count for used in all_used)
    lease = _spread(used.leased_ratio for used in all_used)
    is_bounded = contender in _BOUNDED and shape == _BUSY
    bounds = (BOUND, LEASED_BOUND) if is_bounded else (None, None)
    told, told_of_lease = map(_held_to, (ratio, lease), bounds)
    return (
        f"{contender:26}{shape:8}{told}   check {check.median:.1f} µs, report {report.median:.1f} µs"
        f"   with a lease {told_of_lease}"
    )


def _held_to(found: Spread, bound: float | None) -> str:
    """Show a ratio, with whether it is within its bound where it has one."""
    verdict = "-" if bound is None else "met" if round(found.median, 2) <= bound else "MISSED"
    return f"{verdict:8}{found.median:.2f} ({found.least:.2f}..{found.greatest:.2f})"


def _spread(values: Iterable[float]) -> Spread:
    found = spread(values)
    assert found is not None  # there is a round at least
    return found


class Options(argparse.Namespace):
    """What was asked for on the command line."""

    only: Sequence[str]
    rounds: int


def main() -> int:
    """Run, and return the exit code: 0 with all figures, 1 where some are void, 2 where it could not run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=CONTENDERS, help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    options = parser.parse_args(namespace=Options())
    # Without this a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(options)
    except (ServerError, LoadError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
