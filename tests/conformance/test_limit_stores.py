"""What every limit store keeps to; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from extauth.limits.plan import Take
from extauth.model import Limit, Usage
from extauth.stores.base import LimitStore
from tests.stores import LIMIT_STORES

Run = Callable[[Callable[[LimitStore], Awaitable[None]]], None]
NOW = 1_772_366_400_000_000
SECOND = 1_000_000
FIVE = Limit("five", 5, 1, SECOND)
TWO = Limit("two", 2, 1, 10 * SECOND)
ONE = Limit("one", 1, 1, 60 * SECOND)


@pytest.fixture(params=list(LIMIT_STORES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on a store of its own: once for each kind of store."""

    def run_scenario(scenario: Callable[[LimitStore], Awaitable[None]]) -> None:
        async def with_store() -> None:
            async with LIMIT_STORES[request.param](tmp_path) as store:
                await scenario(store)

        asyncio.run(with_store())

    return run_scenario


def takes(*limits: Limit, key: str = "k") -> tuple[Take, ...]:
    """Return what one request of a key takes."""
    return tuple(Take(f"{key}:{limit.name}", limit) for limit in limits)


def remaining(usages: tuple[Usage, ...]) -> list[int]:
    """Return how much is left of each limit."""
    return [usage.remaining for usage in usages]


def test_all_limits_are_taken_and_told_in_order(run: Run) -> None:
    """One usage for each, in the order they were asked for, each with its own limit."""

    async def scenario(store: LimitStore) -> None:
        usages = store.acquire(takes(FIVE, ONE, TWO), 1, NOW)
        assert [usage.limit for usage in usages] == [FIVE, ONE, TWO]
        assert remaining(usages) == [4, 0, 1]
        assert [usage.reset_us for usage in usages] == [SECOND, 60 * SECOND, 10 * SECOND]
        assert all(usage.allowed and usage.retry_us == 0 for usage in usages)

    run(scenario)


@pytest.mark.parametrize("order", [(FIVE, TWO, ONE), (ONE, TWO, FIVE), (TWO, ONE, FIVE)])
def test_if_one_refuses_nothing_is_taken(run: Run, order: tuple[Limit, ...]) -> None:
    """Wherever it stands: a client that is told to wait for one limit doesn't lose another meanwhile."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(takes(*order), 1, NOW)
        for _ in range(10):
            usages = {usage.limit: usage for usage in store.acquire(takes(*order), 1, NOW)}
            assert [usages[limit].allowed for limit in (FIVE, TWO, ONE)] == [True, True, False]
            # Those that would have allowed it stand as they stood before.
            assert [usages[limit].remaining for limit in (FIVE, TWO, ONE)] == [4, 1, 0]
            assert [usages[limit].retry_us for limit in (FIVE, TWO, ONE)] == [0, 0, 60 * SECOND]
        assert remaining(store.acquire(takes(FIVE, TWO), 1, NOW)) == [3, 0]

    run(scenario)


def test_a_refused_request_costs_no_time_either(run: Run) -> None:
    """Asking again and again doesn't push the moment away at which the limit opens."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(takes(ONE), 1, NOW)
        for asked_us in range(NOW, NOW + 60 * SECOND, SECOND // 2):
            (usage,) = store.acquire(takes(ONE), 1, asked_us)
            assert not usage.allowed
            assert asked_us + usage.retry_us == NOW + 60 * SECOND
        assert store.acquire(takes(ONE), 1, NOW + 60 * SECOND)[0].allowed

    run(scenario)


@pytest.mark.parametrize("capacity", [1, 7, 100])
def test_of_many_who_take_at_once_as_many_pass_as_fit(run: Run, capacity: int) -> None:
    """A thousand tasks, interleaved at random: exactly the capacity passes, each told how much is left."""
    chance = random.Random(capacity)
    limit = Limit("shared", capacity, 1, 3_600 * SECOND)

    async def scenario(store: LimitStore) -> None:
        async def take() -> Usage:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            return store.acquire(takes(limit, FIVE._replace(capacity=10_000)), 1, NOW)[0]

        usages = await asyncio.gather(*(take() for _ in range(1_000)))
        passed = [usage.remaining for usage in usages if usage.allowed]
        assert sorted(passed) == list(range(capacity))

    run(scenario)


def test_buckets_are_apart(run: Run) -> None:
    """What one key spends is not missing for another, nor for another limit of the same key."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(takes(ONE, key="a"), 1, NOW)
        assert store.acquire(takes(ONE, key="b"), 1, NOW)[0].allowed
        assert store.acquire(takes(TWO, key="a"), 1, NOW)[0].allowed
        assert not store.acquire(takes(ONE, key="a"), 1, NOW)[0].allowed

    run(scenario)


def test_the_cost_is_taken_from_each(run: Run) -> None:
    """A dear request takes several at once, or none."""

    async def scenario(store: LimitStore) -> None:
        assert remaining(store.acquire(takes(FIVE, TWO), 2, NOW)) == [3, 0]
        refused = store.acquire(takes(FIVE, TWO), 2, NOW)
        assert [usage.allowed for usage in refused] == [True, False]
        assert remaining(store.acquire(takes(FIVE), 3, NOW)) == [0]

    run(scenario)


def test_a_cost_of_nothing_only_looks(run: Run) -> None:
    """Dashboards may ask how a limit stands without spending it."""

    async def scenario(store: LimitStore) -> None:
        for _ in range(3):
            assert remaining(store.acquire(takes(FIVE, ONE), 0, NOW)) == [5, 1]
        store.acquire(takes(FIVE, ONE), 1, NOW)
        looked = store.acquire(takes(FIVE, ONE), 0, NOW)
        assert remaining(looked) == [4, 0]
        assert all(usage.allowed for usage in looked)

    run(scenario)


def test_no_limits_is_no_usage(run: Run) -> None:
    """A tier without rates is unlimited."""

    async def scenario(store: LimitStore) -> None:
        assert store.acquire((), 1, NOW) == ()

    run(scenario)


def test_tokens_come_back_with_time_only(run: Run) -> None:
    """Evenly, up to the capacity, and a clock that jumps back gives nothing."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(takes(FIVE), 5, NOW)
        assert remaining(store.acquire(takes(FIVE), 0, NOW + 2 * SECOND)) == [2]
        assert remaining(store.acquire(takes(FIVE), 1, NOW + 2 * SECOND)) == [1]
        assert remaining(store.acquire(takes(FIVE), 0, NOW)) == [1]
        assert remaining(store.acquire(takes(FIVE), 0, NOW + 99 * SECOND)) == [5]

    run(scenario)


def test_a_changed_limit_keeps_its_bucket(run: Run) -> None:
    """The name stays, the capacity changes: what was spent is carried over in proportion."""

    async def scenario(store: LimitStore) -> None:
        store.acquire(takes(FIVE), 4, NOW)
        assert remaining(store.acquire(takes(FIVE._replace(capacity=50)), 0, NOW)) == [10]

    run(scenario)
