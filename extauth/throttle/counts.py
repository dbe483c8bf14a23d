"""How leases ended, and how old they were then."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from extauth.clock import MICROSECONDS

# Upper bounds of the histogram of ages, in microseconds: from quick answers to streams that last for minutes.
AGE_BOUNDS_US = (
    5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000, 60_000_000, 300_000_000, 600_000_000,
)  # fmt: skip


class LeaseCounts:
    """How leases ended, how old they were when that was reported, and what reports were about none."""

    def __init__(self) -> None:
        self.by_signal = 0
        self.by_disconnect = 0
        self.by_expiry = 0
        self.unknown = 0
        # By bucket of `AGE_BOUNDS_US`; those that expired have no age worth knowing.
        self.ages = [0] * (len(AGE_BOUNDS_US) + 1)
        self.age_sum_us = 0

    def note_age(self, age_us: int) -> None:
        """Count the age of a lease whose end was reported."""
        # The wall clock may have gone back since.
        age_us = max(age_us, 0)
        self.ages[bisect_left(AGE_BOUNDS_US, age_us)] += 1
        self.age_sum_us += age_us

    def endings(self) -> list[tuple[str, float]]:
        """Return how many leases ended in each way."""
        return [("signal", self.by_signal), ("disconnect", self.by_disconnect), ("expiry", self.by_expiry)]

    def age_buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by upper bound in seconds, as Prometheus wants them."""
        bounds = [str(bound / MICROSECONDS) for bound in AGE_BOUNDS_US] + ["+Inf"]
        return list(zip(bounds, map(float, accumulate(self.ages)), strict=True))
