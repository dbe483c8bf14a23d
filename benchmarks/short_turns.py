"""Measures what many keys cost, beside the floor, in turns of a quarter of a second.

    python benchmarks/short_turns.py --keys 100000

For machines whose speed changes from second to second: whatever slows one server down meets all of them, and
still each has its core for itself in its turns. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.bounds import MOST_KEYS, MOST_ROUNDS, whole_up_to
from benchmarks.cores import Cores, choose_cores
from benchmarks.load import (
    CheckRequest,
    LoadError,
    PausedLoad,
    check_request,
    check_request_of_each,
    wrk_command,
)
from benchmarks.machine import describe_machine
from benchmarks.many import ManyKeys
from benchmarks.ratios import spread
from benchmarks.redis_server import RedisServer, start_redis
from benchmarks.servers import Server, ServerError, cpu_clock, start_uvicorn

FLOOR, ALONE, BESIDE, IN_TURN = "floor", "the only key", "one of many", "many in turn"
_CONNECTIONS = 64
_TURN_SECONDS = 0.25
# Until what was under way at the end of a turn is answered.
_PAUSE_SECONDS = 0.004
# How long each load may take to connect, before the turns begin.
_CONNECTED_SECONDS = 0.3
_MOST_TURNS = 60
_WARM_UP_TURNS = 4
# Until what the first checks of many keys left behind is written.
_REST_SECONDS = 20


class Options(argparse.Namespace):
    """What was asked for on the command line."""

    keys: int
    rounds: int
    turns: int


class Side(NamedTuple):
    """One server, what it is asked, and where its load has its files."""

    name: str
    server: Server
    request: CheckRequest
    folder: Path

    def used(self) -> float:
        """Return the seconds of CPU time that it has used since it started, all its threads together."""
        return time.clock_gettime(cpu_clock(self.server.pid))


class Done(NamedTuple):
    """What one side did in a round.

    `checks` were answered, with so many seconds of CPU time in its own turns. In those of others it used
    `background` of a core, 0 to 1, for what its checks had left to do.
    """

    checks: int
    cpu_seconds: float
    background: float


# In the order of the sides.
Round = tuple[Done, ...]


def start_sides(stack: ExitStack, many: ManyKeys, cores: Cores, folder: Path) -> list[Side]:
    """Start the floor and three servers of extauth, which the stack stops. Raises ServerError."""
    redis = start_redis(core=cores.load, folder=folder)
    stack.callback(redis.server.stop)
    many.put_in(redis)
    floor = start_uvicorn("benchmarks.floor:app", core=cores.server, folder=folder)
    stack.callback(floor.stop)
    one, each = check_request(many.texts[0]), check_request_of_each(many.texts)
    sides = [Side(FLOOR, floor, one, folder)]
    for name, request in ((ALONE, one), (BESIDE, one), (IN_TURN, each)):
        own = folder / name.replace(" ", "-")
        own.mkdir()
        sides.append(Side(name, _extauth(stack, many, redis, core=cores.server, folder=own), request, own))
        if name != ALONE:
            many.ask_once(sides[-1].server.port)
    return sides


def _extauth(stack: ExitStack, many: ManyKeys, redis: RedisServer, *, core: int, folder: Path) -> Server:
    server = many.service(folder, redis).serve(core=core)
    stack.callback(server.stop)
    return server


def measure(sides: Sequence[Side], *, turns: int, core: int) -> Round:
    """Give each side so many turns. Raises LoadError, also where one of them answered anything but 200."""
    # Longer than all of them take, for they are ended.
    seconds = 10 + int(len(sides) * (turns + 2) * (_TURN_SECONDS + _CONNECTED_SECONDS))
    with ExitStack() as stack:
        loads = []
        for side in sides:
            told = wrk_command(
                side.server.port,
                side.request,
                connections=_CONNECTIONS,
                seconds=seconds,
                folder=side.folder,
            )
            load = PausedLoad(stack.enter_context(told), core=core)
            stack.callback(load.close)
            loads.append(load)
            time.sleep(_CONNECTED_SECONDS)
            load.pause()
        used = _take_turns(sides, loads, turns)
        results = [load.end() for load in loads]
    for side, result in zip(sides, results, strict=True):
        if result.refused or result.broken:
            raise LoadError(f"{side.name}: {result.refused} refusals, {result.broken} broken connections")
    return tuple(
        Done(result.requests, own, elsewhere) for result, (own, elsewhere) in zip(results, used, strict=True)
    )


def _take_turns(sides: Sequence[Side], loads: Sequence[PausedLoad], turns: int) -> list[tuple[float, float]]:
    """Return of each side the CPU seconds in its turns, and which part of the others' it used."""
    own, elsewhere, others_seconds = ([0.0] * len(sides) for _ in range(3))
    for number in range(turns):
        # In the other order each time, so that nobody always comes behind the same one.
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for at in order:
            before, began = [side.used() for side in sides], time.monotonic()
            loads[at].go_on()
            time.sleep(_TURN_SECONDS)
            loads[at].pause()
            time.sleep(_PAUSE_SECONDS)
            seconds = time.monotonic() - began
            for which, side in enumerate(sides):
                used = side.used() - before[which]
                if which == at:
                    own[which] += used
                else:
                    elsewhere[which] += used
                    others_seconds[which] += seconds
    return [(mine, used / of) for mine, used, of in zip(own, elsewhere, others_seconds, strict=True)]


def throughput(one: Done, other: Done) -> float:
    """Return how many checks one side answered for each of another's."""
    return one.checks / other.checks


def throughput_by_itself(one: Done, other: Done) -> float:
    """Return the same where each pays for its own background: here it slows all of them down alike.

    That is the least it can be: a server that waits for Redis has time for some of it.
    """
    return throughput(one, other) * (1 - one.background) / (1 - other.background)


def cpu(one: Done, other: Done) -> float:
    """Return the CPU time of a check of one side as a part of another's, each in its own turns."""
    return one.cpu_seconds / one.checks / (other.cpu_seconds / other.checks)


_RATIOS = (("checks/s", throughput), ("each with its own background", throughput_by_itself), ("CPU", cpu))


def table(names: Sequence[str], rounds: Sequence[Round]) -> list[str]:
    """Return the lines to print: of each pair of sides the medians of the ratios within a round."""
    lines = ["Ratios within a round: median (least..greatest)"]
    for at, name in enumerate(names):
        lines.append(
            f"{name}: {_shown([one[at].background * 100 for one in rounds])} % of a core in others' turns"
        )
        for other in range(at):
            told = [f"{what} {_shown([of(one[at], one[other]) for one in rounds])}" for what, of in _RATIOS]
            lines.append(f"  of {names[other]}: {', '.join(told)}")
    return lines


def _shown(values: Sequence[float]) -> str:
    found = spread(values)
    assert found is not None  # there is a round at least
    return f"{found.median:.2f} ({found.least:.2f}..{found.greatest:.2f})"


def _options() -> Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--keys", type=whole_up_to(MOST_KEYS), default=100_000, help="how many are in use (100000)"
    )
    parser.add_argument(
        "--rounds", type=whole_up_to(MOST_ROUNDS), default=8, help="how often all are measured (8)"
    )
    parser.add_argument(
        "--turns", type=whole_up_to(_MOST_TURNS), default=24, help="how many turns each has in a round (24)"
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
            measure(sides, turns=_WARM_UP_TURNS, core=cores.load)
            time.sleep(_REST_SECONDS)
            rounds = [measure(sides, turns=options.turns, core=cores.load) for _ in range(options.rounds)]
    except (ServerError, LoadError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print("\n".join(table([side.name for side in sides], rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
