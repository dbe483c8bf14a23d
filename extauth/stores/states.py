"""How limits stand, for whoever looks from beside the checks: in this process, or wherever they are kept.

A `SharedLimitStore` is one of these as it is; `sqlite_states` looks into the archive of a server that runs
elsewhere.
"""

from __future__ import annotations

from typing import Protocol

from extauth.clock import Clock
from extauth.limits.plan import Plan
from extauth.stores.limits import Seen
from extauth.stores.memory import MemoryLimitStore


class LimitStates(Protocol):
    """Looks at limits, and forgets what was spent of them. Every method may raise StoreError."""

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits of the plan stand, and take nothing."""
        ...

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent of the limits of the plan."""
        ...


class LocalLimits:
    """The limits that this process counts. See `LimitStates`."""

    def __init__(self, limits: MemoryLimitStore, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits stand. See `LimitStates`."""
        now_us = self._clock.now_us()
        leases = self._limits.leases
        in_flight = {place.bucket: leases.in_flight(place.bucket, now_us) for place in plan.places}
        return self._limits.look(plan, now_us)._replace(in_flight=in_flight)

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent. See `LimitStates`."""
        self._limits.reset(plan)
