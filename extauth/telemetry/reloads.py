"""How the configuration was loaded again while the server ran, for its page of metrics."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from extauth.clock import MICROSECONDS, Clock


class ReloadOutcome(enum.StrEnum):
    """What came of loading it again; the closed set of labels."""

    OK = "ok"
    FAILED = "failed"
    UNCHANGED = "unchanged"


class ReloadCounts(Collector):
    """Counts reloads. The start counts as the first success, though not as a reload."""

    def __init__(self, clock: Clock) -> None:
        self._now_us = clock.now_us
        self.reloads = dict.fromkeys(ReloadOutcome, 0)
        self.last_successful = True
        # When it was loaded again last, whatever came of it.
        self.last_us: int | None = None
        self._succeeded_us = clock.now_us()

    def count(self, outcome: ReloadOutcome) -> None:
        """Count one reload."""
        self.reloads[outcome] += 1
        self.last_successful = outcome is not ReloadOutcome.FAILED
        self.last_us = self._now_us()
        if self.last_successful:
            self._succeeded_us = self.last_us

    def collect(self) -> Iterator[Metric]:
        """Make the metric families. Called by the registry for every scrape."""
        family = CounterMetricFamily(
            "extauth_config_reloads_total",
            "How often the configuration was loaded again.",
            labels=["outcome"],
        )
        for outcome, count in self.reloads.items():
            family.add_metric([outcome.value], count)
        yield family
        yield GaugeMetricFamily(
            "extauth_config_last_reload_successful",
            "Whether the configuration is as it was loaded last: 0 where that was refused.",
            value=float(self.last_successful),
        )
        yield GaugeMetricFamily(
            "extauth_config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded without a mistake.",
            value=self._succeeded_us / MICROSECONDS,
        )
