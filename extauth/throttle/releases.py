"""What becomes of the reports that requests ended: leases are freed, and all is counted."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from extauth.clock import MICROSECONDS, Clock
from extauth.completion.signals import Signal
from extauth.throttle.memory import MemoryLeases

SWEEP_EVERY_SECONDS = 1.0
# Upper bounds of the histogram of ages, in microseconds: from quick answers to streams that last for minutes.
AGE_BOUNDS_US = (
    5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000, 60_000_000, 300_000_000, 600_000_000,
)  # fmt: skip


class LeaseEnds(Protocol):
    """Who holds the leases. Nothing here waits or raises; an empty `lease` stands for all of the request."""

    def end(self, request_id: str, lease: str) -> int:
        """End leases, and return how many were held until now."""
        ...

    def renew(self, request_id: str, lease: str) -> None:
        """Have leases of a request that still runs last longer."""
        ...


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


class Releases:
    """Takes the signals of proxies (a `SignalSink`), and what the service notices itself."""

    def __init__(self, ends: LeaseEnds, counts: LeaseCounts) -> None:
        self.counts = counts
        self._ends = ends

    def take(self, signals: Sequence[Signal]) -> None:
        """Free the leases of requests that ended, and renew those of requests that still run."""
        ends, counts = self._ends, self.counts
        for request_id, lease, progress in signals:
            if progress:
                ends.renew(request_id, lease)
                continue
            freed = ends.end(request_id, lease)
            counts.by_signal += freed
            # A denied request is reported too by some proxies, and a repeated signal finds nothing either.
            counts.unknown += not freed

    def client_left(self, request_id: str, lease: str = "") -> None:
        """Free the leases of a request whose check nobody waits for any more."""
        self.counts.by_disconnect += self._ends.end(request_id, lease)


class MemoryEnds:
    """The leases of this process."""

    def __init__(self, leases: MemoryLeases, counts: LeaseCounts, clock: Clock) -> None:
        self._leases = leases
        self._counts = counts
        self._clock = clock

    def end(self, request_id: str, lease: str) -> int:
        """End leases. See `LeaseEnds`."""
        now_us = self._clock.now_us()
        began = self._leases.since(request_id, lease, now_us)
        # One that has expired is left to the sweep, which counts it.
        if began:
            self._leases.end(request_id, lease)
        for since_us in began:
            self._counts.note_age(now_us - since_us)
        return len(began)

    def renew(self, request_id: str, lease: str) -> None:
        """Have leases last longer. See `LeaseEnds`."""
        self._leases.renew(request_id, lease, self._clock.now_us())

    def sweep(self) -> None:
        """Forget the leases that expired, and count them: their ends were never reported."""
        self._counts.by_expiry += self._leases.sweep(self._clock.now_us())

    async def run(self) -> None:
        """Sweep again and again until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_SECONDS)
            self.sweep()
