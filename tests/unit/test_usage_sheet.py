"""Where requests of many keys are counted: on the same sheets, minute after minute, as long as they come."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterable

import pytest

from extauth.errors import StoreError
from extauth.model import Code, Decision, Identified
from extauth.stores.usage import MINUTE, Group, Kind
from extauth.usage.sheet import CountingSheet
from extauth.usage.tracker import UsageTracker
from tests.fake_usage import MemoryUsageStore
from tests.fakes import FakeClock
from tests.keys import identified
from tests.usage import NOW_US, kept, noted, selection

Counted = Counter[tuple[str, int]]


class SmallPages(MemoryUsageStore):
    """Takes four places at once."""

    at_once = 4


def keys(number: int) -> list[Identified]:
    """Return so many keys."""
    return [identified(key_id=f"AAAAbbbb{number:04}", user_id="u1") for number in range(number)]


def see(tracker: UsageTracker, whose: Iterable[Identified], minute: int) -> None:
    """Have one request of each key counted."""
    decisions = [Decision(Code.ALLOWED, key, "", "orders") for key in whose]
    tracker.see([noted(decision, at_us=NOW_US + minute * 60_000_000) for decision in decisions])


def sheets(whose: Iterable[Identified]) -> list[int]:
    """Return on which sheets the keys are counted, in the order of the keys."""
    return [id(key.counted_on) for key in whose]


async def counted(store: MemoryUsageStore, whose: Iterable[Identified]) -> Counted:
    """Return what the store has of each key and minute."""
    asked = selection(MINUTE, Kind.KEY, *(key.key_id for key in whose), group=Group.NAME)
    return Counter(
        {(name, at // 60): numbers[0] for (name, at), numbers in (await kept(store, asked)).items()}
    )


def tracking() -> tuple[SmallPages, UsageTracker]:
    """Return a store and who writes to it."""
    store = SmallPages()
    return store, UsageTracker(store, process="p", clock=FakeClock())


@pytest.mark.parametrize("written", [True, False], ids=["written", "not written yet"])
def test_keys_that_come_again_stay_where_they_are(*, written: bool) -> None:
    """Also where one of a sheet stays away, of which nothing is told then."""

    async def scenario() -> None:
        store, tracker = tracking()
        known = keys(8)
        see(tracker, known, 0)
        before = sheets(known)
        assert len(set(before)) == 2
        if written:
            await tracker.write()
        see(tracker, known[1:], 1)
        assert sheets(known) == before
        await tracker.write()
        expected = Counter({(key.key_id, minute): 1 for key in known for minute in (0, 1)})
        del expected[known[0].key_id, 1]
        assert await counted(store, known) == expected

    asyncio.run(scenario())


def test_a_sheet_is_left_when_most_of_its_keys_stay_away() -> None:
    """Else a key alone would be told with all that were once counted beside it."""

    async def scenario() -> None:
        store, tracker = tracking()
        known = keys(12)
        see(tracker, known, 0)
        before = sheets(known)
        # One of each sheet, which share one from then on.
        few = known[::4]
        for minute in (1, 2, 3):
            see(tracker, few, minute)
        assert len(set(sheets(few))) == 1
        assert not set(sheets(few)) & set(before)
        await tracker.write()
        expected = Counter({(key.key_id, 0): 1 for key in known})
        expected.update((key.key_id, minute) for key in few for minute in (1, 2, 3))
        assert await counted(store, known) == expected
        # What was left holds nothing any more.
        for key in known[1:4]:
            assert isinstance(key.counted_on, CountingSheet)
            assert not key.counted_on.places

    asyncio.run(scenario())


def test_a_sheet_keeps_no_key_in_memory() -> None:
    """Its other keys point at it, for as long as they live."""

    async def scenario() -> None:
        _, tracker = tracking()
        known = keys(8)
        for minute in (0, 1):
            see(tracker, known, minute)
            await tracker.write()
        for key in known:
            # Of the list, of this variable, and of the call.
            assert sys.getrefcount(key) == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(8))
def test_whoever_comes_and_goes_is_counted_once(seed: int) -> None:
    """Keys that come mostly, seldom, or by several routes; minutes that run back; a store that fails."""
    chance = random.Random(seed)

    async def scenario() -> None:
        store, tracker = tracking()
        known = keys(30)
        expected: Counted = Counter()
        minute = 0
        for _ in range(60):
            share = chance.choice((0.1, 0.6, 1.0))
            for key in chance.sample(known, int(share * len(known))):
                route = "orders" if chance.random() < 0.9 else chance.choice("ab")
                tracker.see(
                    [noted(Decision(Code.ALLOWED, key, "", route), at_us=NOW_US + minute * 60_000_000)]
                )
                expected[key.key_id, minute] += 1
            store.failure = StoreError("gone") if chance.random() < 0.3 else None
            if chance.random() < 0.6:
                await tracker.write()
            minute = max(0, minute + chance.choice((0, 0, 1, 1, -1)))
        store.failure = None
        await tracker.write()
        assert await counted(store, known) == expected

    asyncio.run(scenario())
