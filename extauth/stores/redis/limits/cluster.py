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
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from redis.crc import key_slot

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.limits.plan import Plan, Take
from extauth.limits.spent import hold
from extauth.model import Per
from extauth.stores.limits import OnTold, Seen, Taken, Told
from extauth.stores.redis import layout
from extauth.stores.redis.limits.asking import (
    FIRST_ANSWER,
    Found,
    Mode,
    Question,
    Standing,
    found_in,
    question,
    read_answer,
    time_of,
    violations,
)
from extauth.stores.redis.limits.line import Answered, heard
from extauth.stores.redis.limits.node import Address, Dialling, GoneError, Node
from extauth.stores.redis.limits.store import MOST_AT_ONCE, Waiting, hand_out, program, report_of
from extauth.stores.redis.limits.telling import counted, looked_at, seen
from extauth.stores.redis.limits.violations import Violations
from extauth.stores.redis.limits.wire import RedisError
from extauth.stores.redis.link import RedisLink

_SHARED_BY = {per: number for number, per in enumerate((Per.KEY, Per.USER, Per.IP, Per.ROUTE, Per.ALL))}


class _Part(NamedTuple):
    """What is asked of one slot."""

    slot: int
    takes: tuple[Take, ...]
    asked: Question


class ClusterLimitStore:
    """The limits of a Redis Cluster. See `SharedLimitStore`."""

    def __init__(
        self,
        link: RedisLink,
        dialling: Callable[[Callable[[], Awaitable[Address]]], Dialling],
        clock: Clock,
        *,
        deadline_seconds: float,
        on_change: Callable[[str], None],
    ) -> None:
        self._link = link
        self._deadline = deadline_seconds
        self._dialling = dialling
        self._now_us = clock.now_us
        self._on_change = on_change
        self._take = program("take")
        self._nodes: dict[Address, Node] = {}
        self._waiting: defaultdict[int, list[Waiting]] = defaultdict(list)
        self._several: set[asyncio.Task[None]] = set()
        self._violations = Violations(self._report)

    @property
    def trouble(self) -> str:
        """Nothing, ever: which server a check needs is known only from its slots, and the others go on.

        What is wrong with any of them is what `on_change` hears. See `SharedLimitStore`.
        """
        return ""

    async def open(self) -> None:
        """Connect to all servers that have slots. Raises StoreError."""
        await self._link.greet()
        for address in self._link.primaries():
            self._nodes[address] = self._new_node(address)
        await asyncio.gather(*(node.open() for node in self._nodes.values()))

    async def close(self) -> None:
        """Let go of all connections."""
        self._violations.close()
        for task in self._several:
            task.cancel()
        await asyncio.gather(*self._several, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await self._link.close()

    def ask(self, plan: Plan, key_id: str, version: int, on_told: OnTold) -> None:
        """Ask about a plan. See `SharedLimitStore`."""
        parts = plan.prepared
        if not isinstance(parts, tuple):
            parts = plan.prepared = _parts(plan, key_id, version)
        if plan.cool_down is not None:
            self._violations.tell(plan)
        if len(parts) > 1:
            task = asyncio.get_running_loop().create_task(self._take_in_turn(plan, parts, on_told))
            self._several.add(task)
            task.add_done_callback(self._several.discard)
            return
        self._enqueue(parts[0].slot, Waiting(plan, parts[0].asked, on_told))

    def _enqueue(self, slot: int, waiting: Waiting) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting[slot].append(waiting)

    def violate(self, plan: Plan) -> None:
        """Count a refusal. See `SharedLimitStore`."""
        self._violations.note(plan)

    def _report(self, plan: Plan, count: int) -> None:
        report = report_of(plan, count)
        self._enqueue(key_slot(report.asked.key.encode()), report)

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits stand. See `SharedLimitStore`."""
        found = await self._look_at(_parts(plan, "", 0))
        return seen(found, self._now_us())

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent. See `SharedLimitStore`."""
        for part in _parts(plan, "", 0):
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
                self._run(slot, [one.asked for one in batch], answered)

    def _run(self, slot: int, asked: list[Question], answered: Answered) -> None:
        def look(reply: bytes | StoreError) -> None:
            if isinstance(reply, RedisError) and reply.kind in {"MOVED", "ASK"}:
                # The slot has another server: it did not run. It is told where it would.
                self._link.look_around()
                self._run_at(_told_address(reply), asked, answered, asking=reply.kind == "ASK")
            else:
                answered(reply)

        try:
            address = self._link.address_of(slot)
        except StoreError as error:
            self._link.look_around()
            answered(error)
            return
        self._run_at(address, asked, look)

    def _run_at(
        self, address: Address, asked: list[Question], answered: Answered, *, asking: bool = False
    ) -> None:
        try:
            self._node(address).run(self._take, asked, answered, asking=asking)
        except StoreError as error:
            answered(error)

    def _node(self, address: Address) -> Node:
        """Return what asks the server at this address; it is dialled if nobody asked it before."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._new_node(address)
            node.check()
        return node

    def _new_node(self, address: Address) -> Node:
        async def still_there() -> Address:
            if address not in self._link.primaries():
                self._nodes.pop(address, None)
                self._tell()
                raise GoneError(f"{address[0]}:{address[1]} has no slots any more")
            self._link.look_around()
            return address

        return Node(self._dialling(still_there), self._changed)

    def _changed(self, trouble: str) -> None:
        if trouble:
            self._link.look_around()
        self._tell()

    def _tell(self) -> None:
        """Say what is wrong with the first server that has slots and doesn't work."""
        known = self._link.primaries()
        wrong = (
            f"{host}:{port}: {node.told}"
            for (host, port), node in self._nodes.items()
            if node.told and (host, port) in known
        )
        self._on_change(next(wrong, ""))

    async def _take_in_turn(self, plan: Plan, parts: tuple[_Part, ...], on_told: OnTold) -> None:
        """Take one slot after the other; give all back where one refuses or doesn't answer."""
        done: list[_Part] = []
        found: Found = {}
        told: Told
        try:
            async with asyncio.timeout(self._deadline):
                told = await self._take_parts(plan, parts, done, found)
        except TimeoutError:
            told = StoreError(f"no answer within {self._deadline * 1000:.0f} ms")
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            told = error if isinstance(error, StoreError) else StoreError(repr(error))
        on_told(told)
        if not isinstance(told, Taken) or not told.allowed:
            await self._give_back(done, found)

    async def _take_parts(
        self, plan: Plan, parts: tuple[_Part, ...], done: list[_Part], found: Found
    ) -> Told:
        """Take until one refuses; `done` and `found` hold what was taken by then. Raises StoreError."""
        asked_us = now_us = self._now_us()
        for number, part in enumerate(parts):
            reply = await heard(partial(self._run, part.slot, [part.asked]))
            values, _ = read_answer(part.asked, reply, FIRST_ANSWER)
            if values is None:
                return None  # the first part asks for the version: nothing was taken
            now_us = time_of(reply)
            found |= found_in(part.asked, values)
            if not values[0]:
                later, violated = await asyncio.gather(
                    self._look_at(parts[number + 1 :]), self._count_refusal(plan, done)
                )
                found |= _given_back(done, found, now_us) | later | violated
                return _refusal(plan, found, asked_us, now_us)
            done.append(part)
        return _allowance(plan, found, now_us)

    async def _count_refusal(self, plan: Plan, done: Sequence[_Part]) -> Found:
        """Tell the cool-down, where it let a check pass that another slot refused; return how it stands."""
        cool_down = plan.cool_down
        if cool_down is None or not any(cool_down in part.takes for part in done):
            return {}
        asked = violations(cool_down, 1)
        reply = await heard(partial(self._run, key_slot(asked.key.encode()), [asked]))
        values, _ = read_answer(asked, reply, FIRST_ANSWER)
        assert values is not None  # no version was asked about
        return {cool_down.bucket: counted(asked, values, time_of(reply))}

    async def _look_at(self, parts: Iterable[_Part]) -> Found:
        found: Found = {}
        for looked in await asyncio.gather(*map(self._look, parts)):
            found |= looked
        return found

    async def _look(self, part: _Part) -> Found:
        if not part.takes:
            return {}
        asked = question(part.takes, mode=Mode.LOOK)
        reply = await heard(partial(self._run, part.slot, [asked]))
        return looked_at(asked, reply)

    async def _give_back(self, parts: Sequence[_Part], found: Found) -> None:
        """Give back what had room. What can't be given back now, time gives back."""
        for part in parts:
            taken = [take for take in part.takes if found[take.bucket].room]
            if taken:
                asked = question(taken, mode=Mode.GIVE_BACK)
                with contextlib.suppress(StoreError):
                    await heard(partial(self._run, part.slot, [asked]))


def _allowance(plan: Plan, found: Found, now_us: int) -> Taken:
    usages = tuple(take.look(found[take.bucket].state, now_us) for take in plan.takes)
    shadowed = tuple(take.limit.name for take in plan.shadows if not found[take.bucket].room)
    return Taken(allowed=True, usages=usages, shadowed=shadowed)


def _given_back(parts: Sequence[_Part], found: Found, now_us: int) -> Found:
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


def _parts(plan: Plan, key_id: str, version: int) -> tuple[_Part, ...]:
    """Return what is asked of each slot, in the order in which they are asked."""
    groups: dict[int, list[Take]] = {}
    if version:
        groups[key_slot(layout.record(key_id).encode())] = []
    for take in sorted(plan.all_takes, key=lambda take: _SHARED_BY[take.limit.per]):
        groups.setdefault(key_slot(layout.limits_of(take.subject).encode()), []).append(take)
    parts = []
    for number, (slot, takes) in enumerate(groups.items()):
        # The key's version is looked at first of all.
        asked = question(takes, key_id, version) if number == 0 else question(takes)
        parts.append(_Part(slot, tuple(takes), asked))
    return tuple(parts)


def _told_address(error: RedisError) -> Address:
    """Read `MOVED 3999 127.0.0.1:6381` (Redis cluster specification, "MOVED Redirection")."""
    host, _, port = error.rest.partition(" ")[2].rpartition(":")
    return host, int(port)
