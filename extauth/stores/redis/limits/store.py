"""Limits in Redis: the checks of one turn of the loop are asked about together, in calls of a script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache, partial
from importlib import resources

import structlog

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.limits.registry import ALGORITHMS
from extauth.stores.limits import Known, OnTold, Seen, Told
from extauth.stores.redis.limits.asking import (
    FIRST_ANSWER,
    Mode,
    Question,
    blocked_by,
    gathered,
    named,
    question,
    read_answer,
    time_of,
    violations,
)
from extauth.stores.redis.limits.calls import calls_for
from extauth.stores.redis.limits.endings import packed
from extauth.stores.redis.limits.leases import RedisLeases, Way
from extauth.stores.redis.limits.line import Answered, Program, Words, heard
from extauth.stores.redis.limits.node import Dialling, Node
from extauth.stores.redis.limits.telling import blocked, looked_at, refused, seen, taken, violated
from extauth.stores.redis.limits.violations import Violations
from extauth.throttle.claims import Claim
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.waiting import Waiter

# How many checks one call of the script may hold, so that Redis is free for others after a millisecond or so.
MOST_AT_ONCE = 128
# So many checks of different plans don't wait for the end of the turn: each of them is work for Redis, done
# while this process reads more. Many of one plan are little work, and are better asked about together.
BUSY_WITH = 24


@cache
def take_program() -> Program:
    """Return the script that takes, with what it loads as it needs it."""
    parts = [
        _function("local function load_others(count_of, now_us)", _text("others")),
        _function("local function load_slots()", _text("slots")),
        _function("local function load_occupy(slots, now_us)", _text("occupy")),
        "local algorithms = {}",
    ]
    for algorithm in ALGORITHMS.values():
        text = (resources.files("extauth.limits") / f"{algorithm.name}.lua").read_text(encoding="utf-8")
        parts.append(_function(f"algorithms[{algorithm.number}] = function()", text))
    return Program("\n".join((*parts, _text("take"))))


@cache
def errand_program() -> Program:
    """Return the script that does errands, with the slots."""
    return _with_slots("leases")


@cache
def end_program() -> Program:
    """Return the script that ends leases, with the slots."""
    return _with_slots("ends")


def _with_slots(name: str) -> Program:
    slots = _function("local slots = (function()", _text("slots"))
    return Program(f"{slots})()\n{_text(name)}")


def _function(head: str, body: str) -> str:
    return f"{head}\n{body}\nend"


def _text(name: str) -> str:
    return (resources.files("extauth.stores.redis") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


# A check that waits for its answer; without what is to be told it tells violations, and nobody waits. A plain
# tuple, because there is one for each check.
Waiting = tuple[Plan, Question, OnTold | None]


def report_of(plan: Plan, count: int) -> Waiting:
    """Return what tells Redis of violations of a plan's cool-down."""
    assert plan.cool_down is not None  # nothing else is violated
    return plan, violations(plan.cool_down, count), None


def hand_out(batch: Sequence[Waiting], reply: bytes | StoreError, asked_us: int) -> None:
    """Give each check of a batch its part of the reply to what was sent at `asked_us`."""
    told: Told
    at = FIRST_ANSWER
    now_us = 0 if isinstance(reply, StoreError) else time_of(reply)
    for plan, asked, on_told in batch:
        if isinstance(reply, StoreError):
            told = reply
        else:
            values, at = read_answer(asked, reply, at)
            if values is None:
                told = None
            elif on_told is None:
                violated(plan, asked, values, now_us, asked_us)
                continue
            elif values[0]:
                told = taken(asked, values, now_us, asked_us)
            elif limit := blocked_by(asked, values):
                told = blocked(asked, values, now_us, limit)
            else:
                told = refused(plan, asked, values, now_us, asked_us)
        if on_told is None:
            continue
        try:
            on_told(told)
        except Exception as fault:  # noqa: BLE001 - the others must get their answers, whatever it is
            structlog.get_logger("extauth.limits").error("fault", exc_info=fault)


class RedisLimitStore:
    """The limits of a single Redis, which may be the master behind Sentinels. See `SharedLimitStore`."""

    def __init__(
        self, node: Node, clock: Clock, *, dialling: Dialling, process: str, ends: LeaseCounts
    ) -> None:
        self._node = node
        self._now_us = clock.now_us
        self._take = take_program()
        self._errand, self._end = errand_program(), end_program()
        self._waiting: list[Waiting] = []
        self._different = 0
        self._last: Plan | None = None
        self._violations = Violations(lambda plan, count: self._enqueue(report_of(plan, count)))
        way = Way(
            ask=self._ask_for_slots,
            run=lambda _slot, errands, answered: self._do(self._errand, errands, answered),
            end=lambda _slot, endings, answered: self._do(self._end, [packed(endings)], answered),
            slot=lambda _key: 0,
            is_cluster=False,
        )
        self.leases = RedisLeases(way, clock, ends)
        self._calls = calls_for(self.leases, dialling, process)

    async def open(self) -> None:
        """Connect. Raises StoreError."""
        await self._node.open()

    async def close(self) -> None:
        """Let go of the connection."""
        self._violations.close()
        await self.leases.settle()
        await self._calls.close()
        await self._node.close()

    @property
    def trouble(self) -> str:
        """Why Redis is not asked at the moment. See `SharedLimitStore`."""
        return self._node.trouble

    def ask(self, plan: Plan, record: Known | None, on_told: OnTold, claim: Claim | None = None) -> None:
        """Ask about a plan. See `SharedLimitStore`."""
        if claim is not None:
            self._calls.listen()
            self.leases.ask(plan, record, on_told, claim)
            return
        asked = plan.prepared
        if not isinstance(asked, Question):
            asked = plan.prepared = question(plan.all_takes, record)
        if plan.cool_down is not None:
            self._violations.tell(plan)
        self._enqueue((plan, asked, on_told))

    def _enqueue(self, waiting: Waiting) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(waiting)
        if waiting[0] is not self._last:
            self._last = waiting[0]
            self._different += 1
            if self._different >= BUSY_WITH:
                self._send()

    def violate(self, plan: Plan) -> None:
        """Count a refusal. See `SharedLimitStore`."""
        self._violations.note(plan)

    def _ask_for_slots(self, waiter: Waiter, lease: str, *, may_wait: bool, on_told: OnTold) -> None:
        plan, claim = waiter.plan, waiter.claim
        if plan.cool_down is not None:
            self._violations.tell(plan)
        asked = plan.prepared
        if not isinstance(asked, Question) or not may_wait:
            asked = question(plan.all_takes, waiter.record, places=plan.places, may_wait=may_wait)
            if may_wait:
                plan.prepared = asked
        asked = named(asked, claim.name, plan.client, lease, claim.request_id)
        self._enqueue((plan, asked, on_told))

    def _do(self, program: Program, errands: Sequence[Words], answered: Answered) -> None:
        try:
            self._node.run(program, errands, answered)
        except StoreError as error:
            answered(error)

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits stand. See `SharedLimitStore`."""
        takes = plan.all_takes
        in_flight = await self.leases.in_flight(plan.places)
        if not takes:
            return Seen(self._now_us(), {}, in_flight)
        asked = question(takes, mode=Mode.LOOK)
        reply = await heard(lambda answered: self._node.run(self._take, [gathered([asked])], answered))
        return seen(looked_at(asked, reply), time_of(reply))._replace(in_flight=in_flight)

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent. See `SharedLimitStore`."""
        takes = plan.all_takes
        if takes:
            asked = question(takes, mode=Mode.RESET)
            await heard(lambda answered: self._node.run(self._take, [gathered([asked])], answered))
        self._violations.forget(plan)
        plan.spent = plan.held = None

    def _send(self) -> None:
        waiting, self._waiting, self._different, self._last = self._waiting, [], 0, None
        for start in range(0, len(waiting), MOST_AT_ONCE):
            self._run(waiting[start : start + MOST_AT_ONCE])

    def _run(self, batch: list[Waiting]) -> None:
        answered = partial(hand_out, batch, asked_us=self._now_us())
        try:
            self._node.run(self._take, [gathered([asked for _, asked, _ in batch])], answered)
        except StoreError as error:
            # Later, as if Redis had said it: those who ask are not ready for an answer yet.
            asyncio.get_running_loop().call_soon(answered, error)
