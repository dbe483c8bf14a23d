"""When checks are asked about together, and that each of them counts then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from extauth.limits.plan import Charge, Plan, Planner, Subjects
from extauth.model import CALENDAR_MONTH, Limit
from extauth.stores.limits import Taken, Told
from extauth.stores.redis.limits import store as single
from extauth.stores.redis.limits.asking import Question, Words, gathered
from extauth.stores.redis.limits.store import BUSY_WITH
from tests.limits import told_by, window
from tests.redis.limits import redis_limits

pytestmark = pytest.mark.servers

_PLANNER = Planner({}, parse_own=lambda _: ())


_A, _B = Limit("a", 500, 1, 60_000_000), Limit("b", 300, 1, 60_000_000)


def plan_of(key: str, *limits: Limit) -> Plan:
    """Return what a request of the key takes."""
    return _PLANNER.plan(limits or (_A,), Charge(), Subjects(key_id=key))


def rests_of(answers: Sequence[Told]) -> list[int]:
    """Return how much is left of the first limit of each."""
    return [told_by(told)[0].remaining for told in answers if isinstance(told, Taken)]


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
            assert rests_of(await asyncio.gather(*asked)) == [499] * len(asked)
            assert sizes == [BUSY_WITH, BUSY_WITH, 1]

    asyncio.run(scenario())


def test_all_is_kept_that_one_key_takes_of_different_limits_in_one_batch() -> None:
    """Whichever of them stood in its string before."""

    async def scenario() -> None:
        async with redis_limits() as shared:
            await shared.take(plan_of("k", _A))
            plans = [plan_of("k", limit) for limit in (_A, _B, _A, _B, _B, _A)]
            asked = await asyncio.gather(*map(shared.ask, plans))
            assert rests_of(asked) == [498, 299, 497, 298, 297, 496]
            assert rests_of([await shared.take(plan) for plan in plans[:2]]) == [495, 296]

    asyncio.run(scenario())


def test_a_new_key_beside_one_whose_quota_ends_with_it_has_a_string_that_ends() -> None:
    """The month ends for both at once, which says nothing of what is stored."""
    month = window("month", 60, CALENDAR_MONTH)

    async def scenario() -> None:
        async with redis_limits() as shared:
            old, new = plan_of("old", month), plan_of("new", month)
            await shared.take(old)
            assert rests_of(await asyncio.gather(shared.ask(old), shared.ask(new))) == [58, 59]
            assert {shared.command("TYPE", name) for name in shared.names()} == {"string"}
            assert all(shared.command("PTTL", name) > 0 for name in shared.names())
            assert rests_of([await shared.take(new)]) == [58]

    asyncio.run(scenario())
