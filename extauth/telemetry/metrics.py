"""What is counted, and how Prometheus gets it.

Counting on the hot path is plain integers; the client library only writes the page. Labels are bounded by
construction: codes, dialects and reasons, never keys, paths or addresses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from extauth import __version__
from extauth.model import OUTCOMES, Code

# Upper bounds of the duration histogram, in microseconds: a warm check takes tens, a first argon2 tens of
# thousands.
DURATION_BOUNDS_US = (
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
)  # fmt: skip
# How many limits in shadow are counted by name in a process, and what all further ones are counted under.
MOST_LIMITS = 100
OTHER_LIMITS = "other"


class DialectCounts:
    """The decisions of one dialect, and how long they took.

    `durations` counts by bucket of `DURATION_BOUNDS_US`.
    """

    __slots__ = ("decisions", "duration_sum_us", "durations")

    def __init__(self) -> None:
        self.decisions = dict.fromkeys(Code, 0)
        self.durations = [0] * (len(DURATION_BOUNDS_US) + 1)
        self.duration_sum_us = 0

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound in seconds, as Prometheus wants them."""
        bounds = [str(bound / 1_000_000) for bound in DURATION_BOUNDS_US] + ["+Inf"]
        return list(zip(bounds, map(float, accumulate(self.durations)), strict=True))


class CheckCounts:
    """What is counted while checking: decisions by dialect, faults by listener, and what is rare."""

    def __init__(self, dialects: Iterable[str]) -> None:
        self.by_dialect = {name: DialectCounts() for name in dialects}
        self.faults: Counter[str] = Counter(check=0, admin=0)
        # By the name of the limit in shadow, and by what was decided without the store.
        self.shadowed: Counter[str] = Counter()
        self.degraded: Counter[str] = Counter()

    def count_shadowed(self, limit: str) -> None:
        """Count a refusal of a limit in shadow, whose name may be one that a single key's own limit has."""
        is_known = limit in self.shadowed or len(self.shadowed) < MOST_LIMITS
        self.shadowed[limit if is_known else OTHER_LIMITS] += 1


class Reading(NamedTuple):
    """A number that some part keeps, asked for when the page is made. `kind` is counter or gauge."""

    name: str
    help: str
    kind: str
    read: Callable[[], float]


class LabelledReading(NamedTuple):
    """Numbers with one label. `kind` is counter or gauge."""

    name: str
    help: str
    label: str
    read: Callable[[], Iterable[tuple[str, float]]]
    kind: str = "counter"


class HistogramReading(NamedTuple):
    """A histogram without labels: cumulative counts by upper bound, and the sum of all values."""

    name: str
    help: str
    read: Callable[[], tuple[list[tuple[str, float]], float]]


class MetricsCollector(Collector):
    """Turns counts and readings into metric families."""

    def __init__(
        self,
        counts: CheckCounts,
        readings: Iterable[Reading],
        labelled: Iterable[LabelledReading],
        histograms: Iterable[HistogramReading] = (),
        *,
        bring_up_to_date: Callable[[], None] = lambda: None,
    ) -> None:
        self._counts = counts
        self._bring_up_to_date = bring_up_to_date
        self._readings = tuple(readings)
        self._labelled = tuple(labelled)
        self._histograms = tuple(histograms)

    def collect(self) -> Iterator[Metric]:
        """Make the families. Called by the registry for every scrape."""
        self._bring_up_to_date()
        yield self._decisions()
        yield self._durations()
        info = GaugeMetricFamily("extauth_build_info", "Which extauth this is; always 1.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        for reading in self._readings:
            family = CounterMetricFamily if reading.kind == "counter" else GaugeMetricFamily
            yield family(reading.name, reading.help, value=reading.read())
        for labelled in self._labelled:
            family = CounterMetricFamily if labelled.kind == "counter" else GaugeMetricFamily
            by_label = family(labelled.name, labelled.help, labels=[labelled.label])
            for label, value in labelled.read():
                by_label.add_metric([label], value)
            yield by_label
        for histogram in self._histograms:
            buckets, total = histogram.read()
            yield HistogramMetricFamily(histogram.name, histogram.help, buckets=buckets, sum_value=total)

    def _decisions(self) -> Metric:
        family = CounterMetricFamily(
            "extauth_checks_total", "Checks answered.", labels=["dialect", "outcome", "code"]
        )
        for dialect, counts in self._counts.by_dialect.items():
            for code, count in counts.decisions.items():
                family.add_metric([dialect, OUTCOMES[code].value, code.value], count)
        return family

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "extauth_check_duration_seconds",
            "Time from the request's head to the decision, waiting for store and argon2 included.",
            labels=["dialect"],
        )
        for dialect, counts in self._counts.by_dialect.items():
            family.add_metric([dialect], counts.buckets(), counts.duration_sum_us / 1_000_000)
        return family
