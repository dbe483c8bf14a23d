"""What several processes have counted, as one page of metrics.

A worker's report is the plain values of its page. Counters and histograms are summed, and what a worker had
counted stays in the sum when it ends, so that no counter ever goes down. Gauges are summed over those that
live.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

# Name of the sample, and its labels in their order.
Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
# Of one family: its kind, its help, its values.
Family: TypeAlias = tuple[str, str, dict[Sample, float]]

# Gauges that the supervisor's own page answers for all processes: they are no amounts, or the same in each.
_SPOKEN_FOR = frozenset({"extauth_ready", "extauth_build_info", "extauth_bans"})
_LASTING = frozenset({"counter", "histogram"})


def report_of(registry: CollectorRegistry) -> list[Any]:
    """Return all values of a page, fit for JSON."""
    return [
        [family.name, family.type, family.documentation, [[*sample[:3]] for sample in family.samples]]
        for family in registry.collect()
    ]


class Totals:
    """The latest reports of the workers that live, and what those that ended had counted."""

    def __init__(self) -> None:
        self._latest: dict[int, dict[str, Family]] = {}
        self._ended: dict[str, Family] = {}

    def take(self, worker: int, report: list[Any]) -> None:
        """Keep a worker's report in place of its last one."""
        self._latest[worker] = {
            name: (kind, text, {(sample, tuple(labels.items())): value for sample, labels, value in samples})
            for name, kind, text, samples in report
        }

    def end(self, worker: int) -> None:
        """A worker has ended. What it had counted remains."""
        for name, (kind, text, samples) in self._latest.pop(worker, {}).items():
            if kind in _LASTING:
                _add(self._ended.setdefault(name, (kind, text, defaultdict(float)))[2], samples)

    def value(self, worker: int, name: str) -> float:
        """Return the sum over all labels of one family in a worker's latest report."""
        _, _, samples = self._latest.get(worker, {}).get(name, ("", "", {}))
        return sum(samples.values())

    def added_to(self, own: Iterable[Metric]) -> Iterator[Metric]:
        """Return these families with all of the workers' added."""
        families: dict[str, Family] = {}
        for metric in own:
            samples = {(sample.name, tuple(sample.labels.items())): sample.value for sample in metric.samples}
            families[metric.name] = (metric.type, metric.documentation, defaultdict(float, samples))
        for report in (self._ended, *self._latest.values()):
            for name, (kind, text, samples) in report.items():
                if name not in _SPOKEN_FOR:
                    _add(families.setdefault(name, (kind, text, defaultdict(float)))[2], samples)
        for name, (kind, text, samples) in families.items():
            metric = Metric(name, text, kind)
            for (sample, labels), value in samples.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def _add(sums: dict[Sample, float], samples: dict[Sample, float]) -> None:
    for sample, value in samples.items():
        sums[sample] += value


class SummedCollector(Collector):
    """The supervisor's own families, those of its workers added, and those about its workers."""

    def __init__(self, own: Collector, totals: Totals, about_workers: Callable[[], Iterable[Metric]]) -> None:
        self._own = own
        self._totals = totals
        self._about_workers = about_workers

    def collect(self) -> Iterator[Metric]:
        """Make the families. Called by the registry for every scrape."""
        yield from self._totals.added_to(self._own.collect())
        yield from self._about_workers()
