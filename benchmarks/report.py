"""Turns figures into text for people. It computes nothing but what it shows, and holds no key."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.contenders import FLOOR, ON_REDIS, TITLES
from benchmarks.measure import Measurement
from benchmarks.ratios import (
    METRICS,
    REDIS_BYTES,
    START_SECONDS,
    TARGETS,
    Extras,
    Spread,
    Target,
    is_steady,
    ratios,
    values,
)

_HEADINGS = {
    "checks_per_second": "checks/s",
    "cpu_us": "CPU µs/check",
    "p50_us": "p50 ms",
    "p99_us": "p99 ms",
    "server_busy": "server busy",
    "load_busy": "wrk busy",
    "redis_us": "Redis µs/check",
}
# With less of its core than this, the server was not what limited the figures.
_BUSY_ENOUGH = 0.95
_TITLE_WIDTH = max(map(len, TITLES.values())) + 1
_VALUE_WIDTH = 16
_RATIO_WIDTH = 19


def machine_line(machine: Mapping[str, str]) -> str:
    """Say in one line what the figures were measured on."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def series(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield the lines about one series of measurements: medians, then ratios to the floor."""
    names = list(dict.fromkeys(one.contender for one in measurements))
    connections = measurements[0].connections
    shared = not ON_REDIS.isdisjoint(names)
    where = "limits in Redis, " if shared else ""
    columns = (*METRICS, "server_busy", "load_busy", *(("redis_us",) if shared else ()))
    yield f"Medians, {where}{connections} connection{'s' if connections > 1 else ''}"
    yield _row("", [_HEADINGS[column] for column in columns], _VALUE_WIDTH)
    for name in names:
        cells = [_value(column, values(measurements, name, column)) for column in columns]
        yield _row(TITLES[name], cells, _VALUE_WIDTH)
    yield ""
    yield "Ratios to the floor of the same round: median (least..greatest)"
    yield _row("", [_HEADINGS[metric] for metric in METRICS], _RATIO_WIDTH)
    for name in names:
        to_floor = [_ratio(ratios(measurements, name, metric, against=FLOOR)) for metric in METRICS]
        yield _row(TITLES[name], to_floor, _RATIO_WIDTH)
    yield from _doubts(measurements, names)


def targets(all_series: Sequence[Sequence[Measurement]], extras: Extras) -> Iterator[str]:
    """Yield one line for each target: whether it is met, and by what figure."""
    for target in TARGETS:
        measurements = _series_of(target, all_series)
        found = ratios(measurements, target.contender, target.metric, against=target.against)
        shown = "no figure" if found is None else _ratio(found)
        verdict = _verdict_on(target, found, measurements)
        yield _target_row(verdict, TITLES[target.contender], _wording(target), shown)
    if extras.bytes_each is not None:
        verdict = _verdict(met=extras.bytes_each <= REDIS_BYTES)
        wording = f"a key's three limits in Redis <= {REDIS_BYTES} bytes"
        yield _target_row(verdict, "extauth on Redis", wording, f"{extras.bytes_each:.0f}")
    if extras.starts:
        starts = extras.starts
        median = statistics.median(starts)
        shown = f"{median:.2f} ({min(starts):.2f}..{max(starts):.2f})"
        wording = f"start to ready < {START_SECONDS:.0f} s"
        yield _target_row(_verdict(met=median < START_SECONDS), "extauth", wording, shown)


def faults(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield one line for each measurement that is void, and why."""
    for one in measurements:
        if one.faults:
            where = f"round {one.round}, {one.connections} connections, {TITLES[one.contender]}"
            yield f"VOID: {where}: {'; '.join(one.faults)}"


def _series_of(target: Target, all_series: Sequence[Sequence[Measurement]]) -> Sequence[Measurement]:
    """Return the first series in which the contender was measured: with `--latency` there is another."""
    for measurements in all_series:
        if any(one.contender == target.contender for one in measurements):
            return measurements
    return ()


def _doubts(measurements: Sequence[Measurement], names: Sequence[str]) -> Iterator[str]:
    """Name the servers that did not get their core.

    One connection keeps none busy, and who waits for Redis is idle meanwhile.
    """
    if measurements[0].connections == 1:
        if not is_steady(measurements):
            yield "Note: the floor's own checks/s vary from round to round, so checks/s and times say little."
        return
    idle = [
        TITLES[name] for name in names if name not in ON_REDIS and _busy(measurements, name) < _BUSY_ENOUGH
    ]
    if idle:
        yield f"Note: had not their whole core: {'; '.join(idle)}."
        yield "  Other work ran there, or wrk was too slow, so checks/s and times say little; CPU does."


def _verdict_on(target: Target, found: Spread | None, measurements: Sequence[Measurement]) -> str:
    if found is None:
        return "-"
    # CPU time is what a server used, however little of its core it got; all else depends on having it.
    if target.metric != "cpu_us" and not _had_its_core(target, measurements):
        return "unsure"
    return _verdict(met=target.is_met(found.median))


def _had_its_core(target: Target, measurements: Sequence[Measurement]) -> bool:
    """Tell whether nothing else ran where the two were measured, as far as one can see."""
    if measurements[0].connections == 1:
        return is_steady(measurements)
    both = {target.contender, target.against}
    names = both - ON_REDIS | ({FLOOR} if both & ON_REDIS else set())
    return min(_busy(measurements, name) for name in names) >= _BUSY_ENOUGH


def _busy(measurements: Sequence[Measurement], name: str) -> float:
    found = values(measurements, name, "server_busy")
    return 1.0 if found is None else found.median


def _row(title: str, cells: Sequence[str], width: int) -> str:
    return f"  {title:{_TITLE_WIDTH}}" + "".join(f"{cell:>{width}}" for cell in cells)


def _target_row(verdict: str, title: str, wording: str, shown: str) -> str:
    return f"  {verdict:8}{title:{_TITLE_WIDTH}}  {wording:50}{shown}"


def _value(metric: str, found: Spread | None) -> str:
    if found is None:
        return "void"
    match metric:
        case "checks_per_second":
            return f"{found.median:,.0f}"
        case "cpu_us":
            return f"{found.median:.1f}"
        case "redis_us":
            return f"{found.median:.1f}" if found.greatest else "-"
        case "server_busy" | "load_busy":
            return f"{found.median:.0%}"
        case _:
            return f"{found.median / 1_000:.2f}"


def _ratio(found: Spread | None) -> str:
    return "void" if found is None else f"{found.median:.2f} ({found.least:.2f}..{found.greatest:.2f})"


def _verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def _wording(target: Target) -> str:
    sign = ">=" if target.more_is_better else "<="
    against = FLOOR if target.against == FLOOR else TITLES[target.against]
    bound = f"{target.bound:.2f}".removesuffix("0")
    return f"{_HEADINGS[target.metric]} {sign} {bound} x {against}"
