"""The grace of a client's own late report: how long a check waits for it, and when longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from extauth.clock import SystemClock
from extauth.limits.plan import Plan
from extauth.settings.concurrency import ConcurrencySettings
from extauth.stores.limits import Taken, Told
from extauth.stores.memory import MemoryLimitStore
from extauth.throttle.claims import Claim
from extauth.throttle.embedded import EmbeddedLeases
from extauth.throttle.slots import Place
from extauth.throttle.waiting import MOST_GRACES


class Rig:
    """A client that has a request in flight, and asks for another one."""

    def __init__(self, late: list[bool], **settings: object) -> None:
        limit = ConcurrencySettings.model_validate({"max": 1, **settings}).to_concurrency()
        self.plan = Plan((), (Place("key:a:concurrency", limit),), client="a")
        self.clock, self.limits = SystemClock(), MemoryLimitStore()
        self.leases = EmbeddedLeases(self.limits, self.clock)
        self.late = late
        self.on_look: Callable[[], None] = lambda: None
        self.leases.bear_with(self._is_late)
        assert self.limits.acquire(self.plan, self.clock.now_us(), Claim("L1", "r-1")).lease

    def _is_late(self) -> bool:
        self.on_look()
        return self.late.pop(0) if len(self.late) > 1 else self.late[0]

    def ask(self) -> asyncio.Future[Told]:
        """Ask, and have the answer."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        claim = Claim("L2", "r-2")
        taken = self.limits.acquire(self.plan, self.clock.now_us(), claim)
        self.leases.wait(self.plan, claim, taken, told.set_result)
        return told


async def _is_let_in(told: asyncio.Future[Told]) -> bool:
    found = await told
    assert isinstance(found, Taken)
    return bool(found.lease)


def test_a_grace_is_begun_anew_as_long_as_reports_may_be_late() -> None:
    """Looked at when it is over, each time; a report that comes by then lets the check in."""

    async def scenario() -> None:
        refused = Rig([True, True, False, True])
        assert not await _is_let_in(refused.ask())
        assert refused.late == [True]
        let_in = Rig([True])
        let_in.on_look = lambda: let_in.leases.end_all([("r-1", "L1")])
        assert await _is_let_in(let_in.ask())

    asyncio.run(scenario())


def test_a_grace_has_an_end_however_late_reports_may_be() -> None:
    """A client that has too many requests in flight is told so."""

    async def scenario() -> None:
        rig = Rig([True] * 2 * MOST_GRACES)
        assert not await _is_let_in(rig.ask())
        assert len(rig.late) == MOST_GRACES + 1

    asyncio.run(scenario())


def test_a_wait_that_was_configured_is_kept() -> None:
    """Nobody waits longer in a queue than the configuration says: it isn't even asked who is late."""

    async def scenario() -> None:
        rig = Rig([True, False], queue=1, wait="20ms")
        assert not await _is_let_in(rig.ask())
        assert rig.late == [True, False]

    asyncio.run(scenario())


def test_where_workers_are_punctual_a_grace_is_no_longer_than_ever() -> None:
    """It is looked at once."""

    async def scenario() -> None:
        rig = Rig([False, True])
        assert not await _is_let_in(rig.ask())
        assert rig.late == [True]

    asyncio.run(scenario())
