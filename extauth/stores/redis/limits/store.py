"""Limits in Redis: all checks that wait in one turn of the loop are asked about in one call of the script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from importlib import resources
from typing import NamedTuple

import structlog

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.limits.registry import ALGORITHMS
from extauth.stores.limits import OnTold, Seen, Told
from extauth.stores.redis.limits.asking import (
    FIRST_ANSWER,
    Mode,
    Question,
    question,
    read_answer,
    time_of,
    violations,
)
from extauth.stores.redis.limits.line import Program, heard
from extauth.stores.redis.limits.node import Node
from extauth.stores.redis.limits.telling import looked_at, refused, seen, taken, violated
from extauth.stores.redis.limits.violations import Violations

# How many checks one call of the script may hold, so that Redis is free for others after a millisecond or so.
MOST_AT_ONCE = 128


def program(name: str) -> Program:
    """Put a script together with the algorithms, each by its number."""
    parts = ["local algorithms = {}"]
    for algorithm in ALGORITHMS.values():
        text = (resources.files("extauth.limits") / f"{algorithm.name}.lua").read_text(encoding="utf-8")
        parts.append(f"algorithms[{algorithm.number}] = (function()\n{text}\nend)()")
    parts.append(
        (resources.files("extauth.stores.redis") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    )
    return Program("\n".join(parts))


class Waiting(NamedTuple):
    """A check that waits for its answer; without `on_told` it tells violations, and nobody waits."""

    plan: Plan
    asked: Question
    on_told: OnTold | None


def report_of(plan: Plan, count: int) -> Waiting:
    """Return what tells Redis of violations of a plan's cool-down."""
    assert plan.cool_down is not None  # nothing else is violated
    return Waiting(plan, violations(plan.cool_down, count), None)


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
                told = taken(asked, values, now_us)
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

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node = node
        self._now_us = clock.now_us
        self._take = program("take")
        self._waiting: list[Waiting] = []
        self._violations = Violations(lambda plan, count: self._enqueue(report_of(plan, count)))

    async def open(self) -> None:
        """Connect. Raises StoreError."""
        await self._node.open()

    async def close(self) -> None:
        """Let go of the connection."""
        self._violations.close()
        await self._node.close()

    @property
    def trouble(self) -> str:
        """Why Redis is not asked at the moment. See `SharedLimitStore`."""
        return self._node.trouble

    def ask(self, plan: Plan, key_id: str, version: int, on_told: OnTold) -> None:
        """Ask about a plan. See `SharedLimitStore`."""
        asked = plan.prepared
        if not isinstance(asked, Question):
            asked = plan.prepared = question(plan.all_takes, key_id, version)
        if plan.cool_down is not None:
            self._violations.tell(plan)
        self._enqueue(tuple.__new__(Waiting, (plan, asked, on_told)))

    def _enqueue(self, waiting: Waiting) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(waiting)

    def violate(self, plan: Plan) -> None:
        """Count a refusal. See `SharedLimitStore`."""
        self._violations.note(plan)

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits stand. See `SharedLimitStore`."""
        takes = plan.all_takes
        if not takes:
            return Seen(self._now_us(), {})
        asked = question(takes, mode=Mode.LOOK)
        reply = await heard(lambda answered: self._node.run(self._take, [asked], answered))
        return seen(looked_at(asked, reply), time_of(reply))

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent. See `SharedLimitStore`."""
        takes = plan.all_takes
        if takes:
            asked = question(takes, mode=Mode.RESET)
            await heard(lambda answered: self._node.run(self._take, [asked], answered))
        self._violations.forget(plan)
        plan.spent = plan.held = None

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MOST_AT_ONCE):
            self._run(waiting[start : start + MOST_AT_ONCE])

    def _run(self, batch: list[Waiting]) -> None:
        answered = partial(hand_out, batch, asked_us=self._now_us())
        try:
            self._node.run(self._take, [one.asked for one in batch], answered)
        except StoreError as error:
            # Later, as if Redis had said it: those who ask are not ready for an answer yet.
            asyncio.get_running_loop().call_soon(answered, error)
