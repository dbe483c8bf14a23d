"""Measures extauth beside the floor and a peer. See benchmarks/README.md for how to read what it prints."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from pathlib import Path

from benchmarks import redis_server, report, rival
from benchmarks.bounds import LONGEST_SECONDS, MOST_KEYS, MOST_ROUNDS, whole_up_to
from benchmarks.contenders import FLOOR, MEMORY, ON_REDIS, TITLES, Contender, start_embedded, start_on_redis
from benchmarks.cores import Cores, choose_cores
from benchmarks.load import LoadError
from benchmarks.machine import describe_machine
from benchmarks.many import ManyKeys
from benchmarks.measure import Conditions, Measurement, let_finish, measure, settle
from benchmarks.ratios import METRICS, Extras, ratios
from benchmarks.servers import ServerError
from benchmarks.service import Service

START = "start"
_STARTS = 5
_CONNECTIONS = 64
_SINGLE = "redis-single"
_WARM_UP_SECONDS = 1


class Options(argparse.Namespace):
    """What was asked for on the command line."""

    seconds: int
    rounds: int
    only: Sequence[str]
    latency: bool
    keys: int
    json: Path | None


def main() -> int:
    """Run, and return the exit code: 0 with all figures, 1 where some are void, 2 where it could not run."""
    options = _options()
    # Without this a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        _check_tools(set(options.only))
        return _run(options)
    except (ServerError, LoadError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _options() -> Options:
    everything = (*TITLES, MEMORY, START)
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    seconds, rounds = whole_up_to(LONGEST_SECONDS), whole_up_to(MOST_ROUNDS)
    parser.add_argument("--seconds", type=seconds, default=3, help="length of a measurement; default 3")
    parser.add_argument("--rounds", type=rounds, default=5, help="default 5")
    only = "measure only these; the floor comes along for the ratios"
    parser.add_argument("--only", nargs="+", choices=everything, default=everything, help=only)
    parser.add_argument("--latency", action="store_true", help="also measure with 1 connection")
    keys = whole_up_to(MOST_KEYS)
    parser.add_argument(
        "--keys", type=keys, default=10_000, help="how many redis-keys asks with; default 10000"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw figures to this file")
    return parser.parse_args(namespace=Options())


def _check_tools(wanted: AbstractSet[str]) -> None:
    if shutil.which("wrk") is None:
        raise LoadError("wrk is not installed; on Debian: apt install wrk")
    for name in ("fastapi", "slowapi"):
        if importlib.util.find_spec(name) is None:
            raise ServerError(f"{name} is not installed; it is among deploy/requirements/bench.txt")
    if wanted & {*ON_REDIS, MEMORY} and shutil.which(redis_server.PROGRAM) is None:
        raise ServerError("Redis is not installed; on Debian: apt install redis-server")
    if wanted & rival.RIVALS.keys():
        rival.program()


def _run(options: Options) -> int:
    machine = describe_machine()
    cores = choose_cores()
    print(report.machine_line(machine))
    length = f"{options.rounds} x {options.seconds} s for each contender"
    print(f"server on core {cores.server}, wrk and Redis on core {cores.load}, {length}")
    if cores.server == cores.load:
        print("Note: one core for both, so checks/s and times say little; CPU does.")
    with tempfile.TemporaryDirectory(prefix="extauth-benchmark-") as name:
        extras, all_series = _measure_all(options, cores, Path(name))
    for line in _report(all_series, extras):
        print(line)
    if options.json:
        options.json.write_text(json.dumps(_raw(options, machine, all_series, extras), indent=2) + "\n")
    return int(any(one.faults for measurements in all_series for one in measurements))


def _measure_all(options: Options, cores: Cores, folder: Path) -> tuple[Extras, list[list[Measurement]]]:
    service = Service(folder)
    keys = service.create_keys()
    starts = [_start_seconds(service, cores.server) for _ in range(_STARTS)] if START in options.only else []
    wanted = {name for name in options.only if name != START}
    if not wanted:
        return Extras(starts), []
    bytes_each = None
    with ExitStack() as stack:
        contenders = start_embedded(
            stack, wanted, service=service, keys=keys, core=cores.server, folder=folder
        )
        if wanted & {*ON_REDIS, MEMORY}:
            many = ManyKeys(options.keys)
            on_redis, bytes_each = start_on_redis(stack, wanted, many=many, cores=cores, folder=folder)
            contenders += on_redis
        all_series = []
        for size, members in series_of(contenders, latency=options.latency):
            conditions = Conditions(
                connections=size, seconds=options.seconds, load_core=cores.load, folder=folder
            )
            all_series.append(_measure_series(members, conditions, rounds=options.rounds))
    return Extras(starts, bytes_each), all_series


def series_of(contenders: Sequence[Contender], *, latency: bool) -> list[tuple[int, list[Contender]]]:
    """Return who takes turns with whom, and over how many connections: each series has the floor, first.

    They are kept short, so that a ratio's two sides are measured soon after one another.
    """
    floor, *others = contenders
    embedded = [one for one in others if one.name not in ON_REDIS]
    on_redis = [one for one in others if one.name in ON_REDIS and one.name != _SINGLE]
    single = [one for one in others if one.name == _SINGLE]
    series = [
        (_CONNECTIONS, embedded),
        (_CONNECTIONS, on_redis),
        (1, single),
        (1, embedded if latency else []),
    ]
    # Nobody but the floor takes its turn in one series with itself.
    return [(size, [floor, *members]) for size, members in series if members] or [(_CONNECTIONS, [floor])]


def _start_seconds(service: Service, core: int) -> float:
    began = time.perf_counter()
    server = service.serve(core=core)
    took = time.perf_counter() - began
    server.stop()
    return took


def _measure_series(
    contenders: Sequence[Contender], conditions: Conditions, *, rounds: int
) -> list[Measurement]:
    """Measure all contenders in turn, round after round, so that each meets the machine in all its moods."""
    warm_up = dataclasses.replace(conditions, seconds=_WARM_UP_SECONDS)
    for contender in contenders:
        settle(contender)
        measure(contender, warm_up, number=0)
        let_finish(contender)
    measurements = []
    for number in range(1, rounds + 1):
        for contender in contenders:
            one = measure(contender, conditions, number=number)
            let_finish(contender)
            measurements.append(one)
            _show_progress(one)
    return measurements


def _show_progress(one: Measurement) -> None:
    what = "void" if one.faults else f"{one.checks_per_second:,.0f} checks/s, {one.cpu_us:.1f} µs"
    print(f"round {one.round}, {TITLES[one.contender]}: {what}", file=sys.stderr)


def _report(all_series: Sequence[Sequence[Measurement]], extras: Extras) -> Iterator[str]:
    for measurements in all_series:
        yield ""
        yield from report.series(measurements)
    yield ""
    yield "Targets"
    yield from report.targets(all_series, extras)
    yield from report.faults([one for measurements in all_series for one in measurements])


def _raw(
    options: Options,
    machine: Mapping[str, str],
    all_series: Sequence[Sequence[Measurement]],
    extras: Extras,
) -> dict[str, object]:
    return {
        "machine": machine,
        "seconds": options.seconds,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "start_seconds": extras.starts,
        "redis_bytes_for_each_key": extras.bytes_each,
        "keys": options.keys,
        "measurements": [dataclasses.asdict(one) for measurements in all_series for one in measurements],
        "ratios_to_floor": [
            {
                "connections": measurements[0].connections,
                **{
                    name: _ratios_of(measurements, name)
                    for name in dict.fromkeys(one.contender for one in measurements)
                },
            }
            for measurements in all_series
        ],
    }


def _ratios_of(measurements: Sequence[Measurement], contender: str) -> dict[str, object]:
    found = {metric: ratios(measurements, contender, metric, against=FLOOR) for metric in METRICS}
    return {metric: None if one is None else one._asdict() for metric, one in found.items()}


if __name__ == "__main__":
    sys.exit(main())
