"""Usage while the store is gone: nothing is lost, or counted twice; what waits is bounded."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc

import pytest

from extauth.errors import StoreError
from extauth.model import Code, Decision
from extauth.stores.usage import DAY, MINUTE, OTHER, Batch, Group, Kind
from extauth.usage.tracker import UsageTracker
from extauth.usage.writer import MOST_WAITING
from tests.keys import identified
from tests.usage import NOW_US, kept, noted, selection, tracking

KEY = identified(key_id="AAAAbbbb0001", user_id="u1", tier="free")
ALLOWED = Decision(Code.ALLOWED, KEY, KEY.key_id, "orders")


@pytest.mark.parametrize("unsure", [False, True], ids=["not written", "nobody knows"])
def test_a_store_that_fails_loses_nothing_and_counts_nothing_twice(*, unsure: bool) -> None:
    """What was counted is written when it is back; a batch that may have been taken comes again as it was."""

    async def scenario() -> None:
        store, tracker = tracking()
        store.failure, store.unsure = StoreError("gone"), unsure
        for second in range(3):
            tracker.see([noted(ALLOWED, at_us=NOW_US + second * 40_000_000)])
            await tracker.write()
        store.failure = None
        await tracker.close()
        assert tracker.writes == {"ok": 1, "failed": 3}
        found = await kept(store, selection(MINUTE))
        assert {at: numbers[0] for (_, at), numbers in found.items()} == {0: 2, 60: 1}
        numbers = [batch.number for batch in store.batches]
        assert numbers == sorted(set(numbers))

    asyncio.run(scenario())


def test_what_waits_is_bounded() -> None:
    """However many keys there are while the store is gone; the numbers still add up."""

    async def scenario() -> None:
        store, tracker = tracking()
        store.failure = StoreError("gone")
        for first in (0, MOST_WAITING):
            keys = (f"{number:012}" for number in range(first, first + MOST_WAITING))
            tracker.see([noted(Decision(Code.ALLOWED, None, key_id, "r")) for key_id in keys])
            await tracker.write()
        store.failure = None
        await tracker.write()
        places = {place for batch in store.batches for place, _ in batch.counts}
        # Those of the batch that the store did not take are not among those that wait.
        assert len(places) == MOST_WAITING + store.at_once + 1
        assert sum(numbers[0] for batch in store.batches for _, numbers in batch.counts) == 2 * MOST_WAITING
        assert {place.key_id for place in places if place.user_id == OTHER} == {OTHER}

    asyncio.run(scenario())


def test_while_the_store_is_gone_what_waits_costs_nothing() -> None:
    """A write that fails again handles what came since, not all that waits: here it would be megabytes."""

    async def scenario() -> None:
        store, tracker = tracking()
        store.failure = StoreError("gone")
        keys = (f"{number:012}" for number in range(MOST_WAITING))
        tracker.see([noted(Decision(Code.ALLOWED, None, key_id, "r")) for key_id in keys])
        await tracker.write()
        for at_us in (NOW_US, NOW_US + 60_000_000):
            tracker.see([noted(ALLOWED, at_us=at_us)])
            tracemalloc.start()
            await tracker.write()
            _, most_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert most_bytes < 200_000

    asyncio.run(scenario())


def test_a_store_that_fails_now_and_then_gets_everything_once() -> None:
    """Also where it fails amid the batches of a write, and the same keys go on meanwhile."""

    async def scenario() -> None:
        store, tracker = tracking()
        add, calls = store.add, itertools.count()

        async def add_sometimes(batch: Batch) -> bool:
            if next(calls) % 3 == 2:
                raise StoreError("gone")
            return await add(batch)

        store.add = add_sometimes  # type: ignore[method-assign]  # one that fails between two that do not
        decisions = [Decision(Code.ALLOWED, None, f"{number:012}", "r") for number in range(120)]
        for round_ in range(10):
            tracker.see([noted(decision, at_us=NOW_US + round_ * 30_000_000) for decision in decisions])
            await tracker.write()
        while await _lacks(tracker):
            pass
        found = await kept(store, selection(MINUTE, group=Group.ROUTE))
        assert {at: numbers[0] for (_, at), numbers in found.items()} == dict.fromkeys(range(0, 300, 60), 240)
        by_key = await kept(
            store, selection(DAY, Kind.KEY, *(one.key_id for one in decisions), group=Group.NAME)
        )
        assert {numbers[0] for numbers in by_key.values()} == {10}
        assert tracker.writes["failed"] > 2

    asyncio.run(scenario())


async def _lacks(tracker: UsageTracker) -> bool:
    """Write once more; tell whether that failed."""
    failed = tracker.writes["failed"]
    await tracker.write()
    return tracker.writes["failed"] > failed
