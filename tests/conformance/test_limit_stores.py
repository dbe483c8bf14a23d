"""What every limit store keeps to; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from extauth.model import CALENDAR_MONTH, Limit
from extauth.stores.limits import LimitStore, Taken
from tests.limits import plan_of, told_by, window
from tests.stores import LIMIT_STORES

Run = Callable[[Callable[[LimitStore], Awaitable[None]]], None]
NOW = 1_772_366_400_000_000
SECOND = 1_000_000
FIVE = Limit("five", 5, 1, SECOND)
TWO = Limit("two", 2, 1, 10 * SECOND)
ONE = Limit("one", 1, 1, 60 * SECOND)
SHADOW = Limit("shadow", 1, 1, 60 * SECOND, shadow=True)
# One request a minute, however it is counted.
KINDS = (ONE, window("sliding", 1, 60 * SECOND, kind="sliding"), window("fixed", 1, 60 * SECOND))


@pytest.fixture(params=list(LIMIT_STORES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on a store of its own: once for each kind of store."""

    def run_scenario(scenario: Callable[[LimitStore], Awaitable[None]]) -> None:
        async def with_store() -> None:
            async with LIMIT_STORES[request.param](tmp_path) as store:
                await scenario(store)

        asyncio.run(with_store())

    return run_scenario


def remaining(taken: Taken) -> list[int]:
    """Return how much is left of each limit."""
    return [usage.remaining for usage in told_by(taken)]


def test_all_limits_are_taken_and_told_in_order(run: Run) -> None:
    """One usage for each, in the order they were asked for, each with its own limit."""

    async def scenario(store: LimitStore) -> None:
        taken = store.acquire(plan_of(FIVE, ONE, TWO), NOW)
        assert taken.allowed
        assert [usage.limit for usage in told_by(taken)] == [FIVE, ONE, TWO]
        assert remaining(taken) == [4, 0, 1]
        assert [usage.reset_us for usage in told_by(taken)] == [SECOND, 60 * SECOND, 10 * SECOND]
        assert all(usage.allowed and usage.retry_us == 0 for usage in told_by(taken))

    run(scenario)


@pytest.mark.parametrize("order", [(FIVE, TWO, ONE), (ONE, TWO, FIVE), (TWO, ONE, FIVE)])
def test_if_one_refuses_nothing_is_taken(run: Run, order: tuple[Limit, ...]) -> None:
    """Wherever it stands: a client that is told to wait for one limit doesn't lose another meanwhile."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(*order), NOW)
        for _ in range(10):
            taken = store.acquire(plan_of(*order), NOW)
            usages = {usage.limit: usage for usage in told_by(taken)}
            assert not taken.allowed
            assert [usages[limit].allowed for limit in (FIVE, TWO, ONE)] == [True, True, False]
            # Those that would have allowed it stand as they stood before.
            assert [usages[limit].remaining for limit in (FIVE, TWO, ONE)] == [4, 1, 0]
            assert [usages[limit].retry_us for limit in (FIVE, TWO, ONE)] == [0, 0, 60 * SECOND]
        assert remaining(store.acquire(plan_of(FIVE, TWO), NOW)) == [3, 0]

    run(scenario)


@pytest.mark.parametrize("spent", range(3))
def test_limits_that_count_in_different_ways_are_taken_together_or_not_at_all(run: Run, spent: int) -> None:
    """Whichever of them has no room left."""
    limits = (FIVE, window("hour", 5, 3_600 * SECOND, kind="sliding"), window("month", 5, CALENDAR_MONTH))

    async def scenario(store: LimitStore) -> None:
        for _ in range(5):
            store.acquire(plan_of(limits[spent]), NOW)
        refused = store.acquire(plan_of(*limits), NOW)
        assert not refused.allowed
        assert [usage.allowed for usage in told_by(refused)] == [at != spent for at in range(3)]
        others = [limit for at, limit in enumerate(limits) if at != spent]
        assert remaining(store.acquire(plan_of(*others), NOW)) == [4, 4]

    run(scenario)


def test_a_refused_request_costs_no_time_either(run: Run) -> None:
    """Asking again and again doesn't push the moment away at which the limit opens."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(ONE), NOW)
        for asked_us in range(NOW, NOW + 60 * SECOND, SECOND // 2):
            (usage,) = told_by(store.acquire(plan_of(ONE), asked_us))
            assert not usage.allowed
            assert asked_us + usage.retry_us == NOW + 60 * SECOND
        assert store.acquire(plan_of(ONE), NOW + 60 * SECOND).allowed

    run(scenario)


@pytest.mark.parametrize("limit", KINDS, ids=lambda limit: limit.algorithm)
@pytest.mark.parametrize("jump_us", [-SECOND // 2, -90 * SECOND, -86_400 * SECOND, 86_400 * SECOND])
def test_a_clock_that_jumps_makes_no_wait_longer_than_told(run: Run, limit: Limit, jump_us: int) -> None:
    """Whoever is refused after the jump passes when told, which is in three minutes at most."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(limit), NOW)
        told_us = 0
        for waited_us in (0, 100, SECOND):
            (usage,) = told_by(store.acquire(plan_of(limit), NOW + jump_us + waited_us))
            if usage.allowed:
                assert jump_us > 0
                return
            assert told_us in {0, waited_us + usage.retry_us}
            told_us = waited_us + usage.retry_us
        assert told_us <= 180 * SECOND
        assert store.acquire(plan_of(limit), NOW + jump_us + told_us).allowed

    run(scenario)


@pytest.mark.parametrize("limit", KINDS, ids=lambda limit: limit.algorithm)
def test_a_limit_that_was_changed_makes_no_wait_longer_than_told(run: Run, limit: Limit) -> None:
    """Whoever is refused under the new limit passes when told."""

    async def scenario(store: LimitStore) -> None:
        before = limit._replace(capacity=100, rate=100, period_us=3_600 * SECOND)
        store.acquire(plan_of(before, cost=100), NOW)
        (usage,) = told_by(store.acquire(plan_of(limit), NOW + 1))
        assert usage.allowed is (limit.algorithm == "fixed_window")
        assert store.acquire(plan_of(limit), NOW + 1 + (usage.retry_us or 60 * SECOND)).allowed

    run(scenario)


@pytest.mark.parametrize("capacity", [1, 7, 100])
def test_of_many_who_take_at_once_as_many_pass_as_fit(run: Run, capacity: int) -> None:
    """A thousand tasks, interleaved at random: exactly the capacity passes, each told how much is left."""
    chance = random.Random(capacity)
    limit = Limit("shared", capacity, 1, 3_600 * SECOND)

    async def scenario(store: LimitStore) -> None:
        async def take() -> Taken:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            return store.acquire(plan_of(limit, FIVE._replace(capacity=10_000)), NOW)

        answers = await asyncio.gather(*(take() for _ in range(1_000)))
        passed = [told_by(taken)[0].remaining for taken in answers if taken.allowed]
        assert sorted(passed) == list(range(capacity))

    run(scenario)


def test_buckets_are_apart(run: Run) -> None:
    """What one key spends is not missing for another, nor for another limit of the same key."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(ONE, key="a"), NOW)
        assert store.acquire(plan_of(ONE, key="b"), NOW).allowed
        assert store.acquire(plan_of(TWO, key="a"), NOW).allowed
        assert not store.acquire(plan_of(ONE, key="a"), NOW).allowed

    run(scenario)


def test_the_cost_is_taken_from_each(run: Run) -> None:
    """A dear request takes several at once, or none."""

    async def scenario(store: LimitStore) -> None:
        assert remaining(store.acquire(plan_of(FIVE, TWO, cost=2), NOW)) == [3, 0]
        refused = store.acquire(plan_of(FIVE, TWO, cost=2), NOW)
        assert [usage.allowed for usage in told_by(refused)] == [True, False]
        assert [usage.retry_us for usage in told_by(refused)] == [0, 20 * SECOND]
        assert remaining(store.acquire(plan_of(FIVE, cost=3), NOW)) == [0]

    run(scenario)


def test_a_cost_of_nothing_only_looks(run: Run) -> None:
    """Dashboards may ask how a limit stands without spending it."""

    async def scenario(store: LimitStore) -> None:
        for _ in range(3):
            assert remaining(store.acquire(plan_of(FIVE, ONE, cost=0), NOW)) == [5, 1]
        store.acquire(plan_of(FIVE, ONE), NOW)
        looked = store.acquire(plan_of(FIVE, ONE, cost=0), NOW)
        assert remaining(looked) == [4, 0]
        assert looked.allowed

    run(scenario)


def test_no_limits_is_no_usage(run: Run) -> None:
    """A tier without rates is unlimited."""

    async def scenario(store: LimitStore) -> None:
        assert store.acquire(plan_of(), NOW) == Taken(allowed=True, usages=(), shadowed=())

    run(scenario)


def test_tokens_come_back_with_time_only(run: Run) -> None:
    """Evenly, up to the capacity, and a clock that jumps back gives nothing."""

    async def scenario(store: LimitStore) -> None:
        look = plan_of(FIVE, cost=0)
        store.acquire(plan_of(FIVE, cost=5), NOW)
        assert remaining(store.acquire(look, NOW + 2 * SECOND)) == [2]
        assert remaining(store.acquire(plan_of(FIVE), NOW + 2 * SECOND)) == [1]
        assert remaining(store.acquire(look, NOW)) == [1]
        assert remaining(store.acquire(look, NOW + 99 * SECOND)) == [5]

    run(scenario)


def test_a_changed_limit_keeps_its_bucket(run: Run) -> None:
    """The name stays, the capacity changes: what was spent is carried over in proportion."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(FIVE, cost=4), NOW)
        assert remaining(store.acquire(plan_of(FIVE._replace(capacity=50), cost=0), NOW)) == [10]

    run(scenario)


def test_another_algorithm_starts_anew(run: Run) -> None:
    """It can't read what the other one counted, and counts beside it."""

    async def scenario(store: LimitStore) -> None:
        counted_anew = window("one", 1, 60 * SECOND, kind="sliding")
        store.acquire(plan_of(ONE), NOW)
        assert store.acquire(plan_of(counted_anew), NOW).allowed
        assert not store.acquire(plan_of(counted_anew), NOW).allowed
        assert not store.acquire(plan_of(ONE), NOW).allowed

    run(scenario)


def test_a_limit_in_shadow_never_refuses_and_is_named(run: Run) -> None:
    """Requests that it would have refused pass; it is told apart from the limits of the answer."""

    async def scenario(store: LimitStore) -> None:
        plan = plan_of(FIVE, SHADOW)
        first, second = store.acquire(plan, NOW), store.acquire(plan, NOW)
        assert (first.allowed, remaining(first), first.shadowed) == (True, [4], ())
        assert (second.allowed, remaining(second), second.shadowed) == (True, [3], ("shadow",))

    run(scenario)


def test_a_limit_in_shadow_is_taken_only_where_it_has_room(run: Run) -> None:
    """What it would have refused it doesn't count: it refuses as often as it would in earnest."""

    async def scenario(store: LimitStore) -> None:
        plan = plan_of(SHADOW)
        answers = [store.acquire(plan, NOW + at * SECOND) for at in range(121)]
        passed = [at for at, taken in enumerate(answers) if not taken.shadowed]
        assert passed == [0, 60, 120]

    run(scenario)


def test_a_refused_request_takes_nothing_in_shadow(run: Run) -> None:
    """Nor is a limit in shadow named then: the request was refused in earnest."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(ONE), NOW)
        assert store.acquire(plan_of(ONE, SHADOW), NOW).shadowed == ()
        assert store.acquire(plan_of(SHADOW), NOW).shadowed == ()
        assert store.acquire(plan_of(SHADOW), NOW).shadowed == ("shadow",)
        assert store.acquire(plan_of(ONE, SHADOW), NOW).shadowed == ()

    run(scenario)


def test_a_limit_in_earnest_goes_on_where_it_was_in_shadow(run: Run) -> None:
    """What was counted in shadow counts when the shadow is lifted."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(plan_of(SHADOW), NOW)
        assert not store.acquire(plan_of(SHADOW._replace(shadow=False)), NOW).allowed

    run(scenario)


def test_who_goes_on_past_refusals_is_refused_for_longer(run: Run) -> None:
    """The violation that is one too many says so, and whoever waits as long as told passes."""
    cool_down = Limit(
        "cool-down", 3, 3, 60 * SECOND, "cool_down", pause_us=30 * SECOND, longest_us=600 * SECOND
    )
    brief = Limit("brief", 1, 1, SECOND)

    async def scenario(store: LimitStore) -> None:
        plan, now_us = plan_of(brief, cool_down), NOW
        for wait_us in (30 * SECOND, 60 * SECOND):
            assert [usage.limit for usage in told_by(store.acquire(plan, now_us))] == [brief]
            for _ in range(2):
                assert [usage.limit for usage in told_by(store.acquire(plan, now_us))] == [brief]
            usages = told_by(store.acquire(plan, now_us))
            assert [(usage.limit, usage.retry_us) for usage in usages[1:]] == [(cool_down, wait_us)]
            assert not store.acquire(plan, now_us + wait_us - 1).allowed
            now_us += wait_us

    run(scenario)
