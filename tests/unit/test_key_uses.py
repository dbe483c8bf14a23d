"""When a key was last used: noted off the hot path, once a minute, only forwards, and not lost at the end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from extauth.clock import to_us
from extauth.errors import StoreError
from extauth.keys.uses import UseTracker
from extauth.model import ApiKey
from tests.fakes import START, MemoryKeyStore
from tests.keys import entry, record

KEY_ID = "AAAAbbbb0001"
START_US = to_us(START)


def seconds(number: int) -> int:
    """Return a moment in microseconds."""
    return START_US + number * 1_000_000


async def stored(store: MemoryKeyStore) -> ApiKey:
    """Return the key's record."""
    key = await store.get(KEY_ID)
    assert key is not None
    return key


def test_a_use_is_written_once_a_minute() -> None:
    """The first at once, what comes within a minute of it later, none twice."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        await store.add(record(), entry())
        tracker = UseTracker(store)
        for number, written in ((0, 0), (10, 0), (59, 0), (60, 60), (61, 60), (150, 150)):
            tracker.seen[KEY_ID] = seconds(number)
            await tracker.write()
            assert (await stored(store)).last_used == START + timedelta(seconds=written)
        assert store.calls["note_uses"] == 3
        await tracker.write()
        assert store.calls["note_uses"] == 3

    asyncio.run(scenario())


def test_what_was_held_back_is_written_at_the_end() -> None:
    """A clean stop loses nothing."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        await store.add(record(), entry())
        tracker = UseTracker(store)
        for number in (0, 30):
            tracker.seen[KEY_ID] = seconds(number)
            await tracker.write()
        assert (await stored(store)).last_used == START
        await tracker.close()
        assert (await stored(store)).last_used == START + timedelta(seconds=30)

    asyncio.run(scenario())


def test_a_store_that_fails_loses_nothing() -> None:
    """Uses and calls are kept, with what comes meanwhile, and written when it is back."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        await store.add(record(rotated_to="AAAAbbbb0002", rotated_at=START, grace_until=START), entry())
        tracker = UseTracker(store)
        store.failure = StoreError("gone")
        for number in (3, 5):
            tracker.seen[KEY_ID] = seconds(number)
            tracker.see_in_grace(record(), "192.0.2.1")
            await tracker.write()
        store.failure = None
        await tracker.write()
        assert (await stored(store)).last_used == START + timedelta(seconds=5)
        assert (await store.grace_use(KEY_ID)).calls == 2

    asyncio.run(scenario())


def test_calls_in_a_grace_are_written_without_delay() -> None:
    """Whoever watches the old key fade need not wait a minute; addresses are bounded between two writes."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        await store.add(record(), entry())
        tracker = UseTracker(store)
        for number in range(3):
            tracker.seen[KEY_ID] = seconds(number)
            tracker.see_in_grace(record(), "192.0.2.1")
            await tracker.write()
        assert (await store.grace_use(KEY_ID)).calls == 3
        tracker.seen[KEY_ID] = seconds(9)
        for number in range(5_000):
            tracker.see_in_grace(record(), f"address {number}")
        assert len(tracker._calls[KEY_ID]) <= 101
        await tracker.write()
        assert (await store.grace_use(KEY_ID)).calls == 5_003

    asyncio.run(scenario())
