"""Limits in a Redis Cluster: each slot is asked for itself, and all are taken or none.

Limits of one slot are taken in one step, those of the key in the slot of its record. Where a plan has limits
in several slots they are taken one slot after the other, the key's first, then those that ever more callers
share: the user's, the address's, the route's, everybody's. When one refuses, what was taken before is given
back. So a limit that many share is never touched by those whom their own limits refuse; and what is free in
between is always too little, never too much. A server that dies in between leaves the caller short of one
request, which time gives back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.limits.spent import hold
from extauth.stores.limits import Known, OnTold, Seen, Taken, Told
from extauth.stores.redis import layout
from extauth.stores.redis.limits.asking import (
    FIRST_ANSWER,
    Found,
    Mode,
    Question,
    Standing,
    blocked_by,
    expired_in,
    found_in,
    gathered,
    question,
    read_answer,
    time_of,
    violations,
)
from extauth.stores.redis.limits.calls import calls_for
from extauth.stores.redis.limits.endings import packed
from extauth.stores.redis.limits.leases import RedisLeases, Way
from extauth.stores.redis.limits.line import Answered, heard
from extauth.stores.redis.limits.node import Address, Dialling
from extauth.stores.redis.limits.parts import Part, parts_of
from extauth.stores.redis.limits.servers import ClusterServers
from extauth.stores.redis.limits.store import (
    MOST_AT_ONCE,
    Waiting,
    end_program,
    errand_program,
    hand_out,
    report_of,
    take_program,
)
from extauth.stores.redis.limits.telling import counted, looked_at, seen
from extauth.stores.redis.limits.violations import Violations
from extauth.stores.redis.link import RedisLink
from extauth.tasks import end
from extauth.throttle.claims import Claim
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.slots import Blocked
from extauth.throttle.waiting import Waiter


class ClusterLimitStore:
    """The limits of a Redis Cluster. See `SharedLimitStore`."""

    def __init__(
        self,
        link: RedisLink,
        dialling: Callable[[Callable[[], Awaitable[Address]]], Dialling],
        clock: Clock,
        *,
        process: str,
        ends: LeaseCounts,
        deadline_seconds: float,
        on_change: Callable[[str], None],
    ) -> None:
        self._servers = ClusterServers(link, dialling, on_change)
        self._deadline = deadline_seconds
        self._now_us = clock.now_us
        self._take = take_program()
        self._errand, self._end = errand_program(), end_program()
        self._waiting: defaultdict[int, list[Waiting]] = defaultdict(list)
        self._several: set[asyncio.Task[None]] = set()
        self._violations = Violations(self._report)
        way = Way(
            ask=self._ask_for_slots,
            run=lambda slot, errands, answered: self._servers.run(slot, self._errand, errands, answered),
            end=lambda slot, ends, answered: self._servers.run(slot, self._end, [packed(ends)], answered),
            slot=layout.slot_of,
            is_cluster=True,
        )
        self.leases = RedisLeases(way, clock, ends)
        self._calls = calls_for(self.leases, self._servers.any_of_them(), process)

    @property
    def trouble(self) -> str:
        """Nothing, ever: which server a check needs is known only from its slots, and the others go on.

        What is wrong with any of them is what `on_change` hears. See `SharedLimitStore`.
        """
        return ""

    async def open(self) -> None:
        """Connect to all servers that have slots. Raises StoreError."""
        await self._servers.open()

    async def close(self) -> None:
        """Let go of all connections."""
        self._violations.close()
        await end(*self._several)
        await self.leases.settle()
        await self._calls.close()
        await self._servers.close()

    def ask(self, plan: Plan, record: Known | None, on_told: OnTold, claim: Claim | None = None) -> None:
        """Ask about a plan. See `SharedLimitStore`."""
        if claim is not None:
            self._calls.listen()
            self.leases.ask(plan, record, on_told, claim)
            return
        parts = self._prepared(plan, record)
        if len(parts) == 1:
            self._enqueue(parts[0].slot, (plan, parts[0].asked, on_told))
        else:
            self._start(self._take_in_turn(plan, parts, on_told))

    def _ask_for_slots(self, waiter: Waiter, lease: str, *, may_wait: bool, on_told: OnTold) -> None:
        plan, claim = waiter.plan, waiter.claim
        parts = self._prepared(plan, waiter.record)
        parts = tuple(part.wanted_by(plan.client, claim.name, lease, may_wait=may_wait) for part in parts)

        def told(what: Told) -> None:
            if isinstance(what, Taken) and what.lease:
                # A signal may name the request alone, and come as soon as the proxy has its answer.
                self.leases.file(claim.request_id, lease, partial(filed, what))
            else:
                on_told(what)

        def filed(what: Taken, said: str) -> None:
            if said == "ended":
                # It came before this: the client left at once.
                self.leases.let_go(claim, lease)
                what = what._replace(allowed=False, lease="", blocked=Blocked(plan.places[0], waits=False))
            on_told(what)

        if len(parts) == 1:
            self._enqueue(parts[0].slot, (plan, parts[0].asked, told))
        else:
            self._start(self._take_in_turn(plan, parts, told, lease))

    def _prepared(self, plan: Plan, record: Known | None) -> tuple[Part, ...]:
        if plan.cool_down is not None:
            self._violations.tell(plan)
        parts = plan.prepared
        if not isinstance(parts, tuple):
            parts = plan.prepared = parts_of(plan, record)
        return parts

    def _start(self, taking: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(taking)
        self._several.add(task)
        task.add_done_callback(self._several.discard)

    def _enqueue(self, slot: int, waiting: Waiting) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting[slot].append(waiting)

    def violate(self, plan: Plan) -> None:
        """Count a refusal. See `SharedLimitStore`."""
        self._violations.note(plan)

    def _report(self, plan: Plan, count: int) -> None:
        report = report_of(plan, count)
        _, asked, _ = report
        self._enqueue(_slot_of_violations(asked), report)

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits stand. See `SharedLimitStore`."""
        found = await self._look_at(parts_of(plan, None))
        in_flight = await self.leases.in_flight(plan.places)
        return seen(found, self._now_us())._replace(in_flight=in_flight)

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent. See `SharedLimitStore`."""
        for part in parts_of(plan, None):
            if part.takes:
                asked = question(part.takes, mode=Mode.RESET)
                await heard(partial(self._run, part.slot, [asked]))
        self._violations.forget(plan)
        plan.spent = plan.held = None

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        for slot, checks in waiting.items():
            for start in range(0, len(checks), MOST_AT_ONCE):
                batch = checks[start : start + MOST_AT_ONCE]
                answered = partial(hand_out, batch, asked_us=self._now_us())
                self._run(slot, [asked for _, asked, _ in batch], answered)

    def _run(self, slot: int, asked: Sequence[Question], answered: Answered) -> None:
        self._servers.run(slot, self._take, [gathered(asked)], answered)

    async def _take_in_turn(
        self, plan: Plan, parts: tuple[Part, ...], on_told: OnTold, lease: str = ""
    ) -> None:
        """Take one slot after the other; give all back where one refuses or doesn't answer."""
        done: list[Part] = []
        found: Found = {}
        told: Told
        try:
            async with asyncio.timeout(self._deadline):
                told = await self._take_parts(plan, parts, done, found)
                if isinstance(told, Taken) and told.allowed:
                    told = told._replace(lease=lease)
        except TimeoutError:
            told = StoreError(f"no answer within {self._deadline * 1000:.0f} ms")
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            told = error if isinstance(error, StoreError) else StoreError(repr(error))
        on_told(told)
        if not isinstance(told, Taken) or not told.allowed:
            await self._give_back(done, found)

    async def _take_parts(self, plan: Plan, parts: tuple[Part, ...], done: list[Part], found: Found) -> Told:
        """Take until one refuses; `done` and `found` hold what was taken by then. Raises StoreError."""
        asked_us = now_us = self._now_us()
        expired = 0
        for number, part in enumerate(parts):
            reply = await heard(partial(self._run, part.slot, [part.asked]))
            values, _ = read_answer(part.asked, reply, FIRST_ANSWER)
            if values is None:
                return None  # the first part asks for the version: nothing was taken
            now_us = time_of(reply)
            found |= found_in(part.asked, values)
            expired += expired_in(part.asked, values)
            if limit := blocked_by(part.asked, values):
                found |= _given_back(done, found, now_us) | await self._look_at(parts[number + 1 :])
                usages = tuple(take.look(found[take.bucket].state, now_us) for take in plan.takes)
                return Taken(allowed=False, usages=usages, blocked=limit, expired=expired)
            if not values[0]:
                later, violated = await asyncio.gather(
                    self._look_at(parts[number + 1 :]), self._count_refusal(plan, done)
                )
                found |= _given_back(done, found, now_us) | later | violated
                return _refusal(plan, found, asked_us, now_us)._replace(expired=expired)
            done.append(part)
        return _allowance(plan, found, now_us)._replace(expired=expired)

    async def _count_refusal(self, plan: Plan, done: Sequence[Part]) -> Found:
        """Tell the cool-down, where it let a check pass that another slot refused; return how it stands."""
        cool_down = plan.cool_down
        if cool_down is None or not any(cool_down in part.takes for part in done):
            return {}
        asked = violations(cool_down, 1)
        reply = await heard(partial(self._run, _slot_of_violations(asked), [asked]))
        values, _ = read_answer(asked, reply, FIRST_ANSWER)
        assert values is not None  # no version was asked about
        return {cool_down.bucket: counted(asked, values, time_of(reply))}

    async def _look_at(self, parts: Iterable[Part]) -> Found:
        found: Found = {}
        for looked in await asyncio.gather(*map(self._look, parts)):
            found |= looked
        return found

    async def _look(self, part: Part) -> Found:
        if not part.takes:
            return {}
        asked = question(part.takes, mode=Mode.LOOK)
        reply = await heard(partial(self._run, part.slot, [asked]))
        return looked_at(asked, reply)

    async def _give_back(self, parts: Sequence[Part], found: Found) -> None:
        """Give back what had room, and slots. What can't be given back now, time gives back."""
        for part in parts:
            asked = part.given_back([take for take in part.takes if found[take.bucket].room])
            if asked is not None:
                with contextlib.suppress(StoreError):
                    await heard(partial(self._run, part.slot, [asked]))


def _slot_of_violations(asked: Question) -> int:
    ((cool_down, _),) = asked.placed
    return layout.slot_of(layout.limits_of(cool_down.subject))


def _allowance(plan: Plan, found: Found, now_us: int) -> Taken:
    usages = tuple(take.look(found[take.bucket].state, now_us) for take in plan.takes)
    shadowed = tuple(take.limit.name for take in plan.shadows if not found[take.bucket].room)
    return Taken(allowed=True, usages=usages, shadowed=shadowed)


def _given_back(parts: Sequence[Part], found: Found, now_us: int) -> Found:
    """Return how the limits of these parts will stand."""
    standing: Found = {}
    for take in (take for part in parts for take in part.takes):
        room, state = found[take.bucket]
        if room:
            state = take.algorithm.give_back(state, take.numbers, now_us)
        standing[take.bucket] = Standing(room, state)
    return standing


def _refusal(plan: Plan, found: Found, asked_us: int, now_us: int) -> Taken:
    takes = plan.takes
    if plan.cool_down is not None and not found[plan.cool_down.bucket].room:
        takes = (*takes, plan.cool_down)
    rooms, states = zip(*(found[take.bucket] for take in takes), strict=True)
    looks = zip(takes, rooms, states, strict=True)
    usages = tuple(take.look(state, now_us, allowed=room) for take, room, state in looks)
    plan.held = hold(usages, states, asked_us=asked_us, store_now_us=now_us)
    return Taken(allowed=False, usages=usages)
