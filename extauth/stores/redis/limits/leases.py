"""Leases in Redis: checks of this process that wait for slots, and the end of leases of any process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from extauth.clock import MICROSECONDS, Clock
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.stores.limits import Known, OnTold, Taken, Told
from extauth.stores.redis import layout
from extauth.stores.redis.limits import tokens
from extauth.stores.redis.limits.asking import slot_bases
from extauth.stores.redis.limits.endings import Ending
from extauth.stores.redis.limits.errands import (
    Due,
    Errand,
    Errands,
    ErrandsInTurn,
    OnSaid,
    Run,
    errand,
    ignore,
    lines,
)
from extauth.stores.redis.limits.line import heard
from extauth.throttle.claims import Claim
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.memory import REMEMBERED_US
from extauth.throttle.slots import Place
from extauth.throttle.waiting import Waiter, WaitingRoom

_MILLISECOND_US = 1_000
# How long it is tried to find the leases of a request while Redis is gone.
_FOUND_WITHIN_SECONDS = 60.0
# How long the end of a request is remembered that holds no lease.
_REMEMBERED_MS = REMEMBERED_US // _MILLISECOND_US
# What ends say that freed a slot; they say nothing where Redis didn't do them.
_FREED = "1"


class Waits(Protocol):
    """How a store is asked for a plan with slots."""

    def __call__(self, waiter: Waiter, lease: str, *, may_wait: bool, on_told: OnTold) -> None:
        """Have the plan of the waiter taken, with a lease; `on_told` is called once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way to Redis. `ask` takes plans, `run` and `end` do errands of a slot, which `slot` tells of a key.

    `is_cluster` says that not all keys are in one place: what belongs to a request is filed apart.
    """

    ask: Waits
    run: Run[Errand]
    end: Run[Ending]
    slot: Callable[[str], int]
    is_cluster: bool


class RedisLeases:
    """See `throttle.leases.Leases`, and `Desk` for how waiters ask."""

    def __init__(self, way: Way, clock: Clock, counts: LeaseCounts) -> None:
        self._way = way
        self._now_us = clock.now_us
        self._room = WaitingRoom(self)
        self._errands = Errands(way.run, way.slot, self._said)
        self._ends = ErrandsInTurn(way.end, way.slot, self._freed)
        self._counts = counts
        self.taken = 0  # leases that this process has given out

    @property
    def waiting(self) -> int:
        """How many checks wait for a slot."""
        return len(self._room)

    def refuse_waiting(self) -> None:
        """Answer all checks that wait for a slot: they get one that is free now, or are refused."""
        self._room.refuse_all()

    def ask(self, plan: Plan, record: Known | None, on_told: OnTold, claim: Claim) -> None:
        """Ask for a plan and its slots; see `SharedLimitStore.ask`."""
        Waiter(self._room, plan, claim, on_told, record=record).ask()

    def hear(self, word: str, name: str) -> None:
        """Hear that a waiter is called, or ousted."""
        if word == "call":
            self._room.call(name)
        elif word == "oust":
            self._room.oust(name)

    def call_all(self) -> None:
        """Have all waiters ask again, because calls may have been missed."""
        for name in list(self._room.waiters):
            self._room.call(name)

    def attempt(self, waiter: Waiter, *, last: bool) -> None:
        """Ask for what the waiter wants. See `Desk`."""
        plan = waiter.plan
        if not plan.lease_tail:
            longest_us = max(place.limit.lease_us for place in plan.places)
            plan.lease_tail = tokens.tail(longest_us // _MILLISECOND_US, slot_bases(plan.places))
        lease = tokens.encode(waiter.claim.name, self._now_us() // _MILLISECOND_US, plan.lease_tail)
        on_told = partial(self._told, waiter, last)
        self._way.ask(waiter, lease, may_wait=not last, on_told=on_told)

    def _told(self, waiter: Waiter, last: bool, told: Told) -> None:  # noqa: FBT001 - bound by `partial`
        blocked = told.blocked if isinstance(told, Taken) else None
        if isinstance(told, Taken):
            self._counts.by_expiry += told.expired
        ends = isinstance(told, Taken) and not told.lease and (blocked is None or not blocked.waits)
        if ends and self._way.is_cluster and waiter.is_seated:
            # It may wait in a slot that wasn't asked this time.
            self.give_up(waiter)
        if isinstance(told, Taken) and told.lease:
            self.taken += 1
        if isinstance(told, StoreError):
            # It may have been taken all the same; on the same connection this comes after it.
            self.give_up(waiter)
        waiter.told(told, last=last)
        if blocked is not None and 0 < blocked.again_us < blocked.place.limit.wait_us:
            loop = asyncio.get_running_loop()
            loop.call_later(blocked.again_us / 1_000_000, self._room.call, waiter.claim.name)

    def give_up(self, waiter: Waiter) -> None:
        """Strike a waiter off. See `Desk`."""
        for bases in self._by_slot(slot_bases(waiter.plan.places)):
            lasts = max(place.limit.lease_us for place in waiter.plan.places) / MICROSECONDS
            self._ends.send(Ending(waiter.claim.name, bases), for_seconds=lasts)

    def let_go(self, claim: Claim, lease: str) -> None:
        """End a lease of which nobody learnt. See `Desk`."""
        self._end_now([(claim.request_id, lease)], self._count_left)

    async def settle(self) -> None:
        """Have what was reported until now end, if Redis answers."""
        # What is found ends thereupon.
        await self._errands.settle()
        await self._ends.settle()

    def bear_with(self, is_late: Callable[[], bool]) -> None:
        """Have graces last longer while this is so. See `Leases`."""
        self._room.is_late = is_late

    def end_all(self, ended: Sequence[tuple[str, str]]) -> None:
        """End leases. See `Leases`."""
        with_lease = [one for one in ended if one[1]]
        self._end_now(with_lease, self._count_ended)
        if len(with_lease) == len(ended):
            return
        for request_id, lease in ended:
            if not lease:
                self._find(request_id, partial(self._end_found, request_id), has_ended=True)

    def _end_found(self, request_id: str, lease: str) -> None:
        self._end_now([(request_id, lease)], self._count_ended)

    def _end_now(self, ended: Sequence[tuple[str, str]], count: Callable[[int, str], None]) -> None:
        now = asyncio.get_running_loop().time()
        due: list[Due[Ending]] = []
        for request_id, lease in ended:
            known = tokens.decode(lease)
            if known is None:
                self._counts.unknown += 1
                continue
            name, since_ms, lease_ms, bases = known
            until = now + lease_ms / 1_000
            on_said: OnSaid = partial(count, since_ms)
            for ending in self._endings(name, bases, lease[len(name) :], layout.leases_of(request_id)):
                due.append(tuple.__new__(Due, (ending, on_said, until)))
                # Of a lease with slots in several places the first counts.
                on_said = ignore
        self._ends.do(due)

    def _endings(self, name: str, bases: tuple[str, ...], rest: str, filed: str) -> Sequence[Ending]:
        """Return what it takes to end a lease."""
        if not self._way.is_cluster:
            return (tuple.__new__(Ending, (name, bases, rest, filed)),)
        return [*(Ending(name, some) for some in self._by_slot(bases)), Ending(name, (), rest, filed)]

    async def in_flight(self, places: Sequence[Place]) -> dict[str, int]:
        """Return how many requests are in flight, by the bucket of their place. Raises StoreError."""
        found: dict[str, int] = {}
        for place in places:
            base = layout.slots_of(place.subject, place.field)
            run = partial(self._way.run, self._way.slot(base), [errand("count", "", [base])])
            (held,) = self._said(await heard(run))
            found[place.bucket] = int(held)
        return found

    def renew(self, request_id: str, lease: str = "") -> None:
        """Have leases of a request that still runs last longer."""
        if lease:
            self._renew(request_id, lease)
        else:
            self._find(request_id, lambda found: self._renew(request_id, found), has_ended=False)

    def file(self, request_id: str, lease: str, on_said: Callable[[str], None]) -> None:
        """File a lease under its request; `on_said` is called whether or not that can be done."""
        known = tokens.decode(lease)
        last_ms = 0 if known is None else known.lease_ms
        self._errands.send(errand("file", "", lease=lease, request_id=request_id, last_ms=last_ms), on_said)

    def _find(self, request_id: str, on_found: Callable[[str], None], *, has_ended: bool) -> None:
        def found(said: str) -> None:
            if has_ended and not said:
                self._counts.unknown += 1
            for lease in said.split():
                # Beside leases there may be a mark that the request has ended: see `leases.lua`.
                on_found(lease)

        # Of a request that still runs nothing is noted: its check may still wait for a slot.
        what = errand("find", "", request_id=request_id, last_ms=_REMEMBERED_MS if has_ended else 0)
        self._errands.send(what, found, for_seconds=_FOUND_WITHIN_SECONDS)

    def _renew(self, request_id: str, lease: str) -> None:
        known = tokens.decode(lease)
        if known is None:
            return
        for bases in self._by_slot(known.bases):
            self._errands.send(errand("renew", known.name, bases, last_ms=known.lease_ms))
        filed = errand("renew", "", lease=lease, request_id=request_id, last_ms=known.lease_ms)
        self._errands.send(filed)

    def _said(self, reply: bytes) -> Sequence[str]:
        """Return what `leases.lua` says to each, having counted the leases that had ended by themselves."""
        said, expired = lines(reply)
        self._counts.by_expiry += expired
        return said

    def _freed(self, reply: bytes) -> str:
        """Return what `ends.lua` says of each, having counted the leases that had ended by themselves."""
        freed, _, expired = reply.decode().partition(" ")
        self._counts.by_expiry += int(expired)
        return freed

    def _count_ended(self, since_ms: int, said: str) -> None:
        if said == _FREED:
            self._counts.by_signal += 1
            self._counts.note_age(self._now_us() - since_ms * _MILLISECOND_US)
        elif said:
            self._counts.unknown += 1

    def _count_left(self, _since_ms: int, said: str) -> None:
        self._counts.by_disconnect += said == _FREED

    def _by_slot(self, bases: Sequence[str]) -> list[tuple[str, ...]]:
        grouped: defaultdict[int, list[str]] = defaultdict(list)
        for base in bases:
            grouped[self._way.slot(base)].append(base)
        return [tuple(some) for some in grouped.values()]
