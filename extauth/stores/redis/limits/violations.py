"""Refusals that a server repeats by itself violate a cool-down too: Redis is told of them in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from extauth.limits.plan import Plan

# How often Redis is told of those of one plan, at most.
GATHERED_FOR_SECONDS = 0.1

Report = Callable[[Plan, int], None]


class Violations:
    """Counts them by plan until they are told; each of these plans has a cool-down.

    `report` gets a plan and how many there were.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._counts: dict[Plan, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, plan: Plan) -> None:
        """Count one."""
        self._counts[plan] = self._counts.get(plan, 0) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHERED_FOR_SECONDS, self._tell_all)

    def tell(self, plan: Plan) -> None:
        """Tell those of a plan now: what is asked about it next must come after them."""
        count = self._counts.pop(plan, 0)
        if count:
            self._report(plan, count)

    def forget(self, plan: Plan) -> None:
        """Forget those of whoever this plan is of."""
        cool_down = plan.cool_down
        if cool_down is None:
            return
        for other in list(self._counts):
            if other.cool_down is not None and other.cool_down.bucket == cool_down.bucket:
                del self._counts[other]

    def close(self) -> None:
        """Tell nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell_all(self) -> None:
        self._timer = None
        for plan in list(self._counts):
            self.tell(plan)
