"""When checks are asked about together, and when they aren't made to wait for one another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from extauth.limits.plan import Charge, Plan, Planner, Subjects
from extauth.model import Limit
from extauth.stores.limits import Taken
from extauth.stores.redis.limits import store as single
from extauth.stores.redis.limits.asking import Question, Words, gathered
from extauth.stores.redis.limits.store import BUSY_WITH
from tests.limits import told_by
from tests.redis.limits import redis_limits

pytestmark = pytest.mark.servers

_PLANNER = Planner({}, parse_own=lambda _: ())


def plan_of(key: str) -> Plan:
    """Return what a request of the key takes."""
    return _PLANNER.plan((Limit("a", 500, 1, 60_000_000),), Charge(), Subjects(key_id=key))


def test_checks_of_many_keys_do_not_wait_for_the_end_of_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis works on them while more are read; those of one key are asked about together."""
    sizes: list[int] = []

    def noted(asked: Sequence[Question]) -> Words:
        sizes.append(len(asked))
        return gathered(asked)

    monkeypatch.setattr(single, "gathered", noted)

    async def scenario() -> None:
        async with redis_limits() as shared:
            same = plan_of("k")
            asked = [shared.ask(same) for _ in range(2 * BUSY_WITH)]
            assert sizes == []
            await asyncio.gather(*asked)
            assert sizes == [2 * BUSY_WITH]
            sizes.clear()
            asked = [shared.ask(plan_of(f"k{number}")) for number in range(2 * BUSY_WITH + 1)]
            assert sizes == [BUSY_WITH, BUSY_WITH]
            found = [told for told in await asyncio.gather(*asked) if isinstance(told, Taken)]
            assert sizes == [BUSY_WITH, BUSY_WITH, 1]
            assert [told_by(taken)[0].remaining for taken in found] == [499] * len(asked)

    asyncio.run(scenario())
