"""Checks of this process that wait for a slot: when they ask again, and until when they wait.

A waiter holds a callback and a timer, no task and no thread. It asks when it is called, and a last time when
it has waited long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from extauth.clock import MICROSECONDS
from extauth.limits.plan import Plan
from extauth.stores.limits import Known, OnTold, Taken, Told
from extauth.throttle.claims import Claim
from extauth.throttle.slots import Blocked, Concurrency

# How much of the wait begins only once the loop gets round to it, in seconds.
_TAIL_SECONDS = 0.0125
# How often a grace is begun at most, while reports may be late that have come or are about to.
MOST_GRACES = 10


class Waiter:
    """One check, from its first question to its answer; `told` gets what the store says to each."""

    __slots__ = (
        "_again", "_asking", "_last", "_refusal", "_room", "_timer", "_waits", "claim", "on_told", "plan",
        "record",
    )  # fmt: skip

    def __init__(
        self,
        room: WaitingRoom,
        plan: Plan,
        claim: Claim,
        on_told: OnTold,
        *,
        record: Known | None = None,
    ) -> None:
        self._room = room
        self.plan = plan
        self.claim = claim
        self.on_told = on_told
        # What the store compares in the same step. See `SharedLimitStore.ask`.
        self.record = record
        self._timer: asyncio.TimerHandle | None = None
        self._waits = 0  # how often it began to wait
        self._asking = False
        self._again = False  # it was called while its question was under way
        self._last = False  # it has waited long enough
        self._refusal: Taken | None = None  # what it is told if it waits no longer

    @property
    def is_seated(self) -> bool:
        """Whether it waits to be called."""
        return self._timer is not None

    def ask(self) -> None:
        """Ask the store, now or once it has answered what it was asked before."""
        if self._asking:
            self._again = True
            return
        self._asking = True
        self._again = False
        self._room.desk.attempt(self, last=self._last)

    def told(self, told: Told, *, last: bool = False) -> None:
        """Take what the store says: the answer, or that there is no slot yet. `last` is as it was asked."""
        self._asking = False
        if isinstance(told, Taken) and told.blocked is not None and told.blocked.waits and not last:
            self.stay(told, told.blocked)
        else:
            self._end(told)

    def stay(self, told: Taken, blocked: Blocked) -> None:
        """Wait to be called, no longer than the limit says that has no slot."""
        self._refusal = told._replace(blocked=blocked._replace(waits=False))
        if self._timer is None:
            self._wait(blocked.place.limit)
            self.claim.on_gone = self._gone
            self._room.waiters[self.claim.name] = self
        if self.claim.gone:
            self._gone()
        elif self._again or self._last:
            self.ask()

    def _wait(self, limit: Concurrency) -> None:
        seconds = limit.wait_us / MICROSECONDS
        tail = min(seconds / 2, _TAIL_SECONDS)
        self._waits += 1
        # In two steps: after a standstill of the loop a signal may be there and not be read yet.
        self._timer = asyncio.get_running_loop().call_later(seconds - tail, self._nearly_enough, tail)

    def refuse(self) -> None:
        """Hear that somebody else has the place in the queue."""
        self._last = True
        self.ask()

    def _nearly_enough(self, tail: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(tail, self._enough)

    def _enough(self) -> None:
        limit = self._bears_with()
        if limit is None:
            self._last = True
        else:
            self._wait(limit)
        self.ask()

    def _bears_with(self) -> Concurrency | None:
        """Return the limit for which it waits once more, as its client's report may be late; else None."""
        assert self._refusal is not None  # it is seated
        assert self._refusal.blocked is not None
        limit = self._refusal.blocked.place.limit
        ends = self._last or not limit.is_grace or self._waits >= MOST_GRACES
        return None if ends or not self._room.is_late() else limit

    def _gone(self) -> None:
        # While a question is under way, its answer comes first.
        if not self._asking and self._refusal is not None:
            self._room.desk.give_up(self)
            self._end(self._refusal)

    def _end(self, told: Told) -> None:
        if self._timer is not None:
            self._timer.cancel()
            del self._room.waiters[self.claim.name]
            self.claim.on_gone = None
            if not isinstance(told, Taken):
                # Nobody can say whether it is still among those who wait.
                self._room.desk.give_up(self)
        if self.claim.gone and isinstance(told, Taken) and told.lease:
            self._room.desk.let_go(self.claim, told.lease)
        self.on_told(told)


class Desk(Protocol):
    """Where waiters ask: the store, as far as they see it."""

    def attempt(self, waiter: Waiter, *, last: bool) -> None:
        """Ask for the waiter's plan and slots, and have it told; the `last` time it can't go on waiting."""
        ...

    def give_up(self, waiter: Waiter) -> None:
        """Strike a waiter off, whose turn passes to the next."""
        ...

    def let_go(self, claim: Claim, lease: str) -> None:
        """End a lease of which nobody learnt."""
        ...


class WaitingRoom:
    """All waiters of this process, by the name of their claim.

    `is_late` tells whether reports may be late: then a grace lasts longer.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.is_late: Callable[[], bool] = lambda: False
        self.waiters: dict[str, Waiter] = {}

    def __len__(self) -> int:
        return len(self.waiters)

    def call(self, name: str) -> None:
        """Have a waiter ask again, because its turn has come; whoever isn't here any more misses nothing."""
        waiter = self.waiters.get(name)
        if waiter is not None:
            waiter.ask()

    def refuse_all(self) -> None:
        """Have nobody wait any longer."""
        for waiter in tuple(self.waiters.values()):
            waiter.refuse()

    def oust(self, name: str) -> None:
        """Have a waiter give way to somebody who came first in another order."""
        waiter = self.waiters.get(name)
        if waiter is not None:
            waiter.refuse()
