"""How many requests the admin API answered, by what came of them."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class AdminOutcome(enum.StrEnum):
    """What came of a request; the closed set of labels."""

    DONE = "done"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    FAULT = "fault"


_BY_STATUS = {
    401: AdminOutcome.UNAUTHENTICATED,
    403: AdminOutcome.FORBIDDEN,
    500: AdminOutcome.FAULT,
    503: AdminOutcome.UNAVAILABLE,
}
_FIRST_REFUSAL = 400


class AdminCounts(Collector):
    """Counts requests. Every outcome is there from the start, so that a first one is a change from nought."""

    def __init__(self) -> None:
        self.requests = dict.fromkeys(AdminOutcome, 0)

    def answered(self, status: int) -> None:
        """Count one answer."""
        refused = AdminOutcome.REFUSED if status >= _FIRST_REFUSAL else AdminOutcome.DONE
        self.requests[_BY_STATUS.get(status, refused)] += 1

    def collect(self) -> Iterator[Metric]:
        """Make the metric family. Called by the registry for every scrape."""
        family = CounterMetricFamily(
            "extauth_admin_requests_total",
            "Requests that the admin API and the dashboard answered.",
            labels=["outcome"],
        )
        for outcome, count in self.requests.items():
            family.add_metric([outcome.value], count)
        yield family
