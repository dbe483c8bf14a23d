"""Measures what a check costs where many keys are in use, beside the floor, all of them at the same time.

    python benchmarks/at_once.py --keys 100000

For machines whose speed changes from second to second: each server has a load of its own meanwhile, and all
share one core, so that whatever slows one of them down slows down the others too. CPU per check is all that
can be told then. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.bounds import LONGEST_SECONDS, MOST_KEYS, MOST_ROUNDS, whole_up_to
from benchmarks.cores import Cores, choose_cores
from benchmarks.load import CheckRequest, LoadError, LoadResult, check_request, check_request_of_each, run_wrk
from benchmarks.machine import describe_machine
from benchmarks.many import ManyKeys
from benchmarks.ratios import spread
from benchmarks.redis_server import RedisServer, start_redis
from benchmarks.servers import Server, ServerError, cpu_clock, start_uvicorn
from benchmarks.service import DecisionLog

FLOOR, ALONE, BESIDE, IN_TURN = "floor", "the only key", "one of many", "many in turn"
_CONNECTIONS = 48
_WARM_UP_SECONDS = 2
# Until what the first checks of many keys left behind is written.
_REST_SECONDS = 20


class Options(argparse.Namespace):
    """What was asked for on the command line."""

    keys: int
    rounds: int
    seconds: int


class Side(NamedTuple):
    """One server, what it is asked, and where its load has its files."""

    name: str
    server: Server
    request: CheckRequest
    folder: Path
    log: DecisionLog | None = None

    def used_us(self) -> float:
        """Return the CPU time that it has used since it started, all its threads together."""
        return time.clock_gettime(cpu_clock(self.server.pid)) * 1_000_000


# CPU per check of each side, in µs, in the order of the sides.
Round = tuple[float, ...]


def start_sides(stack: ExitStack, many: ManyKeys, cores: Cores, folder: Path) -> list[Side]:
    """Start the floor and three servers of extauth, which the stack stops. Raises ServerError."""
    redis = start_redis(core=cores.load, folder=folder)
    stack.callback(redis.server.stop)
    many.put_in(redis)
    floor = start_uvicorn("benchmarks.floor:app", core=cores.server, folder=folder)
    stack.callback(floor.stop)
    one, each = check_request(many.texts[0]), check_request_of_each(many.texts)
    return [
        Side(FLOOR, floor, one, folder),
        _extauth(stack, ALONE, one, many, redis, core=cores.server, folder=folder / "alone"),
        _extauth(stack, BESIDE, one, many, redis, core=cores.server, folder=folder / "beside"),
        _extauth(stack, IN_TURN, each, many, redis, core=cores.server, folder=folder / "in-turn"),
    ]


def _extauth(
    stack: ExitStack,
    name: str,
    request: CheckRequest,
    many: ManyKeys,
    redis: RedisServer,
    *,
    core: int,
    folder: Path,
) -> Side:
    folder.mkdir()
    service = many.service(folder, redis)
    server = service.serve(core=core)
    stack.callback(server.stop)
    if name != ALONE:
        many.ask_once(server.port)
    return Side(name, server, request, folder, service.log)


def measure(sides: Sequence[Side], *, seconds: int, core: int) -> Round:
    """Load all of them at once. Raises LoadError, also where one of them answered anything but 200."""
    for side in sides:
        if side.log is not None:
            side.log.clear()
    before = [side.used_us() for side in sides]
    with ThreadPoolExecutor(len(sides)) as threads:
        loads = list(threads.map(lambda side: _load(side, seconds, core), sides))
    used = [side.used_us() - earlier for side, earlier in zip(sides, before, strict=True)]
    for side, load in zip(sides, loads, strict=True):
        if load.refused or load.broken:
            raise LoadError(f"{side.name}: {load.refused} refusals, {load.broken} broken connections")
    return tuple(cpu / load.requests for cpu, load in zip(used, loads, strict=True))


def _load(side: Side, seconds: int, core: int) -> LoadResult:
    return run_wrk(
        side.server.port,
        side.request,
        connections=_CONNECTIONS,
        seconds=seconds,
        core=core,
        folder=side.folder,
    )


def table(names: Sequence[str], rounds: Sequence[Round]) -> list[str]:
    """Return the lines to print: the median of each, and its ratios to all others within a round."""
    lines = ["CPU µs/check, and ratios within a round: median (least..greatest)"]
    for at, name in enumerate(names):
        median = spread(one[at] for one in rounds)
        assert median is not None  # there is a round at least
        told = [f"  {name:13} {median.median:6.1f}"]
        for other in range(at):
            ratio = spread(one[at] / one[other] for one in rounds)
            assert ratio is not None
            told.append(f"{ratio.median:.2f} ({ratio.least:.2f}..{ratio.greatest:.2f}) of {names[other]}")
        lines.append("  ".join(told))
    return lines


def _options() -> Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--keys", type=whole_up_to(MOST_KEYS), default=100_000, help="how many are in use (100000)"
    )
    parser.add_argument(
        "--rounds", type=whole_up_to(MOST_ROUNDS), default=8, help="how often all are measured (8)"
    )
    parser.add_argument(
        "--seconds", type=whole_up_to(LONGEST_SECONDS), default=5, help="length of a round (5)"
    )
    return parser.parse_args(namespace=Options())


def main() -> int:
    """Run, and return the exit code: 0 with figures, 2 where it could not run."""
    options, cores = _options(), choose_cores()
    # Without this a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(report.machine_line(describe_machine()))
    try:
        with tempfile.TemporaryDirectory(prefix="extauth-benchmark-") as name, ExitStack() as stack:
            sides = start_sides(stack, ManyKeys(options.keys), cores, Path(name))
            measure(sides, seconds=_WARM_UP_SECONDS, core=cores.load)
            time.sleep(_REST_SECONDS)
            rounds = [measure(sides, seconds=options.seconds, core=cores.load) for _ in range(options.rounds)]
    except (ServerError, LoadError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print("\n".join(table([side.name for side in sides], rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
