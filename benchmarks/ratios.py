"""From raw figures to medians, ratios within a round, and targets. It measures and prints nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.contenders import FLOOR
from benchmarks.measure import Measurement

METRICS = ("checks_per_second", "cpu_us", "p50_us", "p99_us")
START_SECONDS = 1.0
REDIS_BYTES = 500
# By how much a server may vary from round to round that does the same each time: the greatest to the least.
_STEADY = 1.25


class Spread(NamedTuple):
    """The median of some values, with the least and the greatest."""

    median: float
    least: float
    greatest: float


class Extras(NamedTuple):
    """What is no contender's: the seconds of each start, and what Redis holds for the limits of a key in use.

    Both are empty or None where they were not measured.
    """

    starts: Sequence[float] = ()
    bytes_each: float | None = None


class Target(NamedTuple):
    """A bound on the ratio of one contender's metric to another's."""

    contender: str
    metric: str
    against: str
    bound: float
    more_is_better: bool

    def is_met(self, ratio: float) -> bool:
        """Say whether a ratio is within the bound, to the two decimals that are shown."""
        shown = round(ratio, 2)
        return shown >= self.bound if self.more_is_better else shown <= self.bound


TARGETS = (
    Target("allowed", "checks_per_second", FLOOR, 1.3, more_is_better=True),
    Target("allowed", "cpu_us", FLOOR, 0.8, more_is_better=False),
    Target("allowed", "p99_us", FLOOR, 1.0, more_is_better=False),
    Target("allowed", "checks_per_second", "uncounted", 0.95, more_is_better=True),
    Target("allowed", "cpu_us", "uncounted", 1.05, more_is_better=False),
    Target("limited", "checks_per_second", "allowed", 1.0, more_is_better=True),
    Target("limited", "p99_us", FLOOR, 1.0, more_is_better=False),
    Target("unknown", "checks_per_second", "allowed", 1.0, more_is_better=True),
    Target("unknown", "p99_us", FLOOR, 1.0, more_is_better=False),
    Target("redis-allowed", "checks_per_second", FLOOR, 0.9, more_is_better=True),
    Target("redis-allowed", "cpu_us", FLOOR, 1.2, more_is_better=False),
    Target("redis-allowed", "p99_us", FLOOR, 3.0, more_is_better=False),
    Target("redis-allowed", "checks_per_second", "rival", 1.5, more_is_better=True),
    Target("redis-limited", "checks_per_second", FLOOR, 1.2, more_is_better=True),
    Target("redis-keys", "checks_per_second", "redis-allowed", 0.85, more_is_better=True),
    Target("redis-keys", "checks_per_second", "redis-uncounted", 0.95, more_is_better=True),
    Target("redis-keys", "cpu_us", "redis-uncounted", 1.05, more_is_better=False),
    Target("redis-single", "checks_per_second", FLOOR, 0.35, more_is_better=True),
)


def spread(values: Iterable[float]) -> Spread | None:
    """Return median, least and greatest, or None where there are no values."""
    held = sorted(values)
    return Spread(statistics.median(held), held[0], held[-1]) if held else None


def valid(measurements: Iterable[Measurement], contender: str) -> list[Measurement]:
    """Return the measurements of one contender that aren't void."""
    return [one for one in measurements if one.contender == contender and not one.faults]


def values(measurements: Iterable[Measurement], contender: str, metric: str) -> Spread | None:
    """Return how one metric of one contender came out over all rounds that aren't void."""
    return spread(float(getattr(one, metric)) for one in valid(measurements, contender))


def ratios(
    measurements: Sequence[Measurement], contender: str, metric: str, *, against: str
) -> Spread | None:
    """Return one contender's metric as ratios to another's, each within its round; void rounds are left out.

    A machine's speed changes from minute to minute: only what ran within the same seconds can be compared.
    """
    base = {one.round: float(getattr(one, metric)) for one in valid(measurements, against)}
    return spread(
        float(getattr(one, metric)) / base[one.round]
        for one in valid(measurements, contender)
        if base.get(one.round)
    )


def is_steady(measurements: Sequence[Measurement]) -> bool:
    """Tell whether the floor, which does the same each time, was as fast in all rounds."""
    found = values(measurements, FLOOR, "checks_per_second")
    return found is None or found.greatest <= found.least * _STEADY
