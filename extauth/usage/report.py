"""What is told about usage: series of counts, one for each group, the busiest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extauth.clock import MICROSECONDS, from_us
from extauth.keys.views import plain
from extauth.stores.usage import (
    LATENCIES,
    LATENCY_BOUNDS_US,
    LATENCY_SUM,
    UPSTREAM,
    UPSTREAM_CLASSES,
    UPSTREAM_DURATION_SUM,
    UPSTREAM_REPORTED,
    WIDTH,
    Counts,
    Reading,
    requests_of,
)
from extauth.usage.question import By, Span

# In the order of their counts.
OUTCOME_NAMES = ("allowed", "rate_limited", "throttled", "refused", "failed")
_NOTHING: Counts = (0,) * WIDTH


@dataclass(frozen=True, slots=True)
class Series:
    """What was counted of one group, at each step of the time; `total` is the sum."""

    group: str
    total: Counts
    counts: Sequence[Counts]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """All series of an answer, the busiest first."""

    span: Span
    by: By
    series: tuple[Series, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        step = self.span.step.seconds
        times = [_time(at) for at in range(self.span.since, self.span.until, step)]
        nothing = told(_NOTHING)
        return {
            "from": _time(self.span.since),
            "to": _time(self.span.until),
            "step": self.span.step.name,
            "by": self.by.value,
            "series": [
                {
                    "group": series.group,
                    "total": told(series.total),
                    "points": [
                        {"at": at, **(nothing if counts is _NOTHING else told(counts))}
                        for at, counts in zip(times, series.counts, strict=True)
                    ],
                }
                for series in self.series
            ],
        }


def series_of(readings: Iterable[Reading], span: Span) -> list[Series]:
    """Return the series that readings come to, the busiest first."""
    by_group: dict[str, list[Counts]] = {}
    for group, at, counts in readings:
        points = by_group.setdefault(group, [_NOTHING] * span.points)
        points[(at - span.since) // span.step.seconds] = counts
    found = [Series(group, _sum(points), points) for group, points in by_group.items()]
    return sorted(found, key=lambda series: (-requests_of(series.total), series.group))


def empty_series(span: Span) -> Series:
    """Return a series of which nothing was counted."""
    return Series("", _NOTHING, [_NOTHING] * span.points)


def told(counts: Counts) -> dict[str, Any]:
    """Return counts as JSON has them, with the latencies that half and 99 % of the checks stayed below."""
    latencies = counts[LATENCIES:UPSTREAM]
    return {
        **dict(zip(OUTCOME_NAMES, counts, strict=False)),
        "latency_us": {
            "sum": counts[LATENCY_SUM],
            "p50": percentile(latencies, 50),
            "p99": percentile(latencies, 99),
        },
        # Of the thousands of points of an answer hardly any has reports.
        "upstream": _upstream(counts) if any(counts[UPSTREAM:]) else _NO_REPORTS,
    }


def _upstream(counts: Counts) -> Mapping[str, int]:
    return {
        **dict(zip(UPSTREAM_CLASSES, counts[UPSTREAM:UPSTREAM_DURATION_SUM], strict=True)),
        "duration_us_sum": counts[UPSTREAM_DURATION_SUM],
        "reported": counts[UPSTREAM_REPORTED],
    }


_NO_REPORTS = _upstream(_NOTHING)


def percentile(latencies: Counts, percent: int) -> int | None:
    """Estimate a percentile in microseconds, evenly within its bucket; None where nothing was counted.

    Of what is beyond the last bound, nothing but that is known: then it is that bound.
    """
    wanted = sum(latencies) * percent / 100
    if not wanted:
        return None
    below, lower = 0, 0
    for number, upper in zip(latencies, LATENCY_BOUNDS_US, strict=False):
        if below + number >= wanted:
            return round(lower + (upper - lower) * (wanted - below) / number)
        below, lower = below + number, upper
    return lower


def _sum(points: Iterable[Counts]) -> Counts:
    counted = [counts for counts in points if counts is not _NOTHING]
    return [sum(numbers) for numbers in zip(*counted, strict=True)] if counted else _NOTHING


def _time(at: int) -> str:
    return str(plain(from_us(at * MICROSECONDS)))
