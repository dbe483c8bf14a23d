"""What a crash loses of usage: a second, however many keys there are, and nothing counts twice."""

from __future__ import annotations

import asyncio
import random

import pytest

from extauth.errors import StoreError
from extauth.model import Code, Decision
from extauth.stores.usage import Page
from extauth.usage.takeover import LOOK_EVERY_SECONDS, STILL_LOOKS, Takeover
from extauth.usage.tracker import UsageTracker
from extauth.usage.writer import NOTE_AFTER_SECONDS
from tests.fake_usage import MemoryUsageStore
from tests.fakes import FakeClock
from tests.keys import identified
from tests.moved_time import run_in_moved_time
from tests.slow_usage import SlowStore, Traffic, stored
from tests.usage import noted, tracking

KEY = identified(key_id="AAAAbbbb0001")
ALLOWED = Decision(Code.ALLOWED, KEY, KEY.key_id, "orders")


async def total_with_journals(store: MemoryUsageStore) -> int:
    """Return how many requests were counted, once all journals are taken over."""
    heir = Takeover(store)
    for _ in range(STILL_LOOKS + 1):
        await heir.look()
    assert not store.pages
    return await stored(store)


@pytest.mark.parametrize("keys", [5, 300, 3_000])
def test_everything_is_in_the_store_within_a_second(keys: int) -> None:
    """At whatever moment the process is killed, also while it writes; and nothing is in it twice."""
    chance = random.Random(keys)

    async def scenario() -> None:
        store = SlowStore()
        tracker = UsageTracker(store, process="p", clock=FakeClock())
        traffic = Traffic(tracker, keys=keys, chance=chance)
        tracker.start()
        for _ in range(200):
            await traffic.come(chance.random() / 10)
            # A note of 3,000 places takes a few hundredths of a second.
            assert traffic.before(NOTE_AFTER_SECONDS + 0.1) <= await stored(store) <= traffic.total
        # The journal is needed where the store can't take all keys within a second, and not where it can.
        assert store.pages or keys < 3_000
        assert not store.pages or keys > 5
        there = await stored(store)
        assert await total_with_journals(store) == there

    run_in_moved_time(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_and_dies_each_request_counts_once(seed: int) -> None:
    """Two processes, a store that fails now and then, before or after it has written; and one is killed."""
    chance = random.Random(seed)

    async def scenario() -> None:
        store = SlowStore()
        trackers = [UsageTracker(store, process=name, clock=FakeClock()) for name in "pq"]
        traffic = Traffic(*trackers, keys=600, chance=chance)
        for tracker in trackers:
            tracker.start()
        for _ in range(20):
            store.failure = StoreError("gone") if chance.random() < 0.3 else None
            store.unsure = chance.random() < 0.5
            await traffic.come(chance.random())
        store.failure = None
        # All of that is in the store, wherever in it, once it answers again.
        await asyncio.sleep(20)
        assert await stored(store) == traffic.total
        await traffic.come(chance.random())
        await asyncio.sleep(NOTE_AFTER_SECONDS + 0.1)
        await trackers[0].close()
        # The other writes nothing more from now on.
        assert await total_with_journals(store) == traffic.total
        assert all(tracker.writes["failed"] for tracker in trackers)

    run_in_moved_time(scenario)


@pytest.mark.parametrize("seconds", [0.002, 0.2], ids=["told by a batch", "told by a note"])
@pytest.mark.parametrize("seed", range(4))
def test_who_was_taken_over_goes_on_under_another_name(seed: int, seconds: float) -> None:
    """It stood still for long: what it had not noted is lost, as if it had died, and nothing more."""
    chance = random.Random(seed)

    async def scenario() -> None:
        store = SlowStore(seconds)
        tracker = UsageTracker(store, process="p", clock=FakeClock())
        traffic = Traffic(tracker, keys=5_000, chance=chance)
        tracker.start()
        while not store.pages:
            await traffic.come(0.1)
        await traffic.come(chance.random() * 2)
        there = await stored(store)
        for page in await store.take_over("p", store.written["p"]):
            await store.fold("p", page)
        assert await stored(store) == there
        lost = traffic.total - there
        # So long nothing comes: it is told as soon as it writes again.
        await asyncio.sleep(NOTE_AFTER_SECONDS + 0.3)
        await traffic.come(5)
        await tracker.close()
        assert traffic.total - lost <= await stored(store) <= traffic.total
        assert not store.pages
        assert list(store.written) == ["p", "p.1"]

    run_in_moved_time(scenario)


def test_who_ends_notes_before_it_writes() -> None:
    """A server has seconds to end: who is killed because that is not enough has lost nothing."""

    async def scenario() -> None:
        store = SlowStore(0.05)
        tracker = UsageTracker(store, process="p", clock=FakeClock())
        traffic = Traffic(tracker, keys=5_000, chance=random.Random(1))
        tracker.start()
        await traffic.come(5)
        closing = asyncio.create_task(tracker.close())
        await asyncio.sleep(1)
        assert not closing.done()
        closing.cancel()
        assert await total_with_journals(store) == traffic.total

    run_in_moved_time(scenario)


def test_a_batch_that_was_not_written_before_the_journal_was_taken_over_is_not_lost() -> None:
    """Nor does one count twice that had been written: nobody knew of either."""

    async def scenario() -> None:
        store, tracker = tracking()
        total = 0
        for unsure in (False, True):
            tracker.see([noted(ALLOWED)])
            await tracker.write()
            store.failure, store.unsure = StoreError("gone"), unsure
            tracker.see([noted(ALLOWED)] * 3)
            await tracker.write()
            store.failure = None
            (*_, process) = store.written
            await store.take_over(process, store.written[process])
            tracker.see([noted(ALLOWED)] * 5)
            await tracker.write()
            total += 9
            assert await stored(store) == total
        assert list(store.written) == ["p", "p.1", "p.2"]

    asyncio.run(scenario())


def test_who_is_seen_to_write_is_not_taken_over() -> None:
    """Nor whoever may have been as cut off from the store as the one that looks."""

    async def scenario() -> None:
        store = MemoryUsageStore()
        heir = Takeover(store)
        page = Page("1.1.0")
        for number in range(1, 3 * STILL_LOOKS):
            await store.note("p", number, [page])
            await heir.look()
        for _ in range(3):
            for _ in range(STILL_LOOKS - 1):
                await heir.look()
            store.failure = StoreError("gone")
            await heir.look()
            store.failure = None
        assert list(store.pages) == ["p"]
        for _ in range(STILL_LOOKS + 1):
            await heir.look()
        assert not store.pages

    run_in_moved_time(scenario)


def test_the_living_look_again_and_again() -> None:
    """So what somebody left is added within a minute."""

    async def scenario() -> None:
        store = MemoryUsageStore()
        await store.note("p", 1, [Page("1.1.0")])
        looking = asyncio.create_task(Takeover(store).run())
        await asyncio.sleep(STILL_LOOKS * LOOK_EVERY_SECONDS)
        assert store.pages
        await asyncio.sleep(LOOK_EVERY_SECONDS + 1)
        assert not store.pages
        looking.cancel()

    assert (STILL_LOOKS + 1) * LOOK_EVERY_SECONDS <= 60
    run_in_moved_time(scenario)
