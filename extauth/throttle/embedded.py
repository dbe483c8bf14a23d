"""Slots of the embedded store: who waits for them, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from extauth.clock import Clock
from extauth.limits.plan import Plan
from extauth.stores.limits import OnTold, Taken
from extauth.stores.memory import MemoryLimitStore
from extauth.throttle.claims import Claim
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.memory import Ended
from extauth.throttle.slots import Place
from extauth.throttle.waiting import Waiter, WaitingRoom

_SWEPT_EVERY_SECONDS = 1.0


class EmbeddedLeases:
    """The leases of a `MemoryLimitStore`, and the checks that wait for one. See `throttle.leases`."""

    def __init__(self, limits: MemoryLimitStore, clock: Clock, counts: LeaseCounts | None = None) -> None:
        self._limits = limits
        self._leases = limits.leases
        self._now_us = clock.now_us
        self._room = WaitingRoom(self)
        self._to_call: dict[str, Place] = {}
        self._counts = counts or LeaseCounts()

    def __len__(self) -> int:
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """How many checks wait for a slot."""
        return len(self._room)

    def refuse_waiting(self) -> None:
        """Answer all checks that wait for a slot: they get one that is free now, or are refused."""
        self._room.refuse_all()

    @property
    def taken(self) -> int:
        """How many leases were given out."""
        return self._leases.taken

    def wait(self, plan: Plan, claim: Claim, taken: Taken, on_told: OnTold) -> None:
        """Have a check wait. See `stores.limits.Queue`."""
        assert taken.blocked is not None  # nobody waits otherwise
        Waiter(self._room, plan, claim, on_told).stay(taken, taken.blocked)
        self._oust(taken)

    def bear_with(self, is_late: Callable[[], bool]) -> None:
        """Have graces last longer while this is so. See `Leases`."""
        self._room.is_late = is_late

    def end_all(self, ended: Sequence[tuple[str, str]]) -> None:
        """End leases. See `Leases`."""
        now_us, all_ended, unknown = self._now_us(), Ended([], []), 0
        for request_id, lease in ended:
            if not self._leases.end_into(all_ended, request_id, lease, now_us):
                unknown += 1
        self._counts.unknown += unknown
        self._have_ended(all_ended, now_us)

    def end_known(self, request_id: str, lease: str) -> bool:
        """End one; tell whether there was any, for it to be looked for elsewhere."""
        now_us = self._now_us()
        ended = self._leases.end(request_id, lease, now_us)
        self._have_ended(ended, now_us)
        return bool(ended.since_us)

    def _have_ended(self, ended: Ended, now_us: int) -> None:
        """Count ends that were reported, and call who may have the slots."""
        for since_us in ended.since_us:
            self._counts.note_age(now_us - since_us)
        self._counts.by_signal += len(ended.since_us)
        self._call(ended.freed)

    def renew(self, request_id: str, lease: str = "") -> None:
        """Have leases of a request that still runs last longer."""
        self._leases.renew(request_id, lease, self._now_us())

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(_SWEPT_EVERY_SECONDS)
            await self.sweep()

    async def sweep(self) -> None:
        """Forget leases that ended by themselves, and call those who may have their slots."""
        for ended in self._leases.sweep_in_parts(self._now_us()):
            self._counts.by_expiry += ended
            await asyncio.sleep(0)
        self._call(place for waiter in self._room.waiters.values() for place in waiter.plan.places)

    def attempt(self, waiter: Waiter, *, last: bool) -> None:
        """Take what the waiter wants, if its turn has come. See `Desk`."""
        taken = self._limits.acquire(waiter.plan, self._now_us(), waiter.claim, may_wait=not last)
        waiter.told(taken, last=last)
        self._oust(taken)
        if not taken.lease:
            # Its turn may have passed to the next.
            self._call(waiter.plan.places)

    def give_up(self, waiter: Waiter) -> None:
        """Strike a waiter off. See `Desk`."""
        self._leases.give_up(waiter.claim.name, waiter.plan.places)
        self._call(waiter.plan.places)

    def let_go(self, claim: Claim, lease: str) -> None:
        """End a lease of which nobody learnt. See `Desk`."""
        ended = self._leases.end(claim.request_id, lease, self._now_us())
        self._counts.by_disconnect += len(ended.since_us)
        self._call(ended.freed)

    def _oust(self, taken: Taken) -> None:
        if taken.blocked is not None and taken.blocked.ousted is not None:
            self._room.oust(taken.blocked.ousted)

    def _call(self, places: Iterable[Place]) -> None:
        """Call those whose turn has come: in another turn of the loop, because each of them may call more."""
        if not self._room.waiters:
            return
        if not self._to_call:
            asyncio.get_running_loop().call_soon(self._call_now)
        self._to_call |= {place.bucket: place for place in places}

    def _call_now(self) -> None:
        places, self._to_call = self._to_call, {}
        for place in places.values():
            for name in self._leases.called(place, self._now_us()):
                self._room.call(name)
