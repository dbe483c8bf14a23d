"""When a key was last used: noted off the hot path, once a minute, only forwards, and not lost at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from extauth.clock import to_us
from extauth.errors import StoreError
from extauth.keys.uses import UseTracker
from extauth.model import Identified
from extauth.stores.base import KeyUse
from extauth.tasks import end
from tests.fakes import START, MemoryKeyStore
from tests.keys import entry, identified, record

KEY_ID = "AAAAbbbb0001"
START_US = to_us(START)


def seconds(number: int) -> int:
    """Return a moment in microseconds."""
    return START_US + number * 1_000_000


async def last_used(store: MemoryKeyStore) -> datetime | None:
    """Return what the key's record says."""
    key = await store.get(KEY_ID)
    assert key is not None
    return key.last_used


class Pieces(MemoryKeyStore):
    """Takes uses of whatever keys, and remembers how many came together; may hang."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.told: dict[str, int] = {}
        self.turns = 0
        self.hangs = False
        self.asked = asyncio.Event()

    async def note_uses(self, uses: Sequence[KeyUse]) -> None:
        """Count."""
        self.sizes.append(len(uses))
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        self.told |= {use.key_id: sum(use.calls.values()) for use in uses}

    async def count_turns(self) -> None:
        """Count the turns of the loop until cancelled."""
        while True:
            await asyncio.sleep(0)
            self.turns += 1


def test_a_use_is_written_once_a_minute() -> None:
    """The first with the next write, what comes within a minute of it later, none twice."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        key = record()
        await store.add(key, entry())
        whose, tracker = Identified(key), UseTracker(store)
        written = []
        for number in range(0, 150, 5):
            tracker.see(whose, seconds(number), "192.0.2.1")
            await tracker.write()
            written.append(await last_used(store))
        # It is written with the last use until then.
        assert [*dict.fromkeys(written)] == [START + timedelta(seconds=number) for number in (0, 60, 120)]
        assert store.calls["note_uses"] == 3

    asyncio.run(scenario())


def test_a_last_use_within_the_minute_is_written_when_that_is_over() -> None:
    """Also where no other comes; then nothing more is written, and nothing is kept of it."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        key = record()
        await store.add(key, entry())
        whose, tracker = Identified(key), UseTracker(store)
        for number in (0, 5):
            tracker.see(whose, seconds(number), "192.0.2.1")
            await tracker.write()
        assert await last_used(store) == START
        for _ in range(12):
            await tracker.write()
        assert await last_used(store) == START + timedelta(seconds=5)
        assert tracker.pending == 0
        for _ in range(20):
            await tracker.write()
        assert store.calls["note_uses"] == 2

    asyncio.run(scenario())


def test_two_versions_of_a_record_are_one_key() -> None:
    """The later of their uses counts, whichever is noted last."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        older, newer = record(), record(version=2)
        await store.add(newer, entry())
        tracker = UseTracker(store)
        tracker.see(Identified(newer), seconds(3), "192.0.2.1")
        tracker.see(Identified(older), seconds(2), "192.0.2.1")
        await tracker.write()
        assert await last_used(store) == START + timedelta(seconds=3)
        assert store.calls["note_uses"] == 1

    asyncio.run(scenario())


def test_what_was_held_back_is_written_at_the_end() -> None:
    """A clean stop loses nothing."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        key = record()
        await store.add(key, entry())
        whose, tracker = Identified(key), UseTracker(store)
        for number in (0, 30):
            tracker.see(whose, seconds(number), "192.0.2.1")
            await tracker.write()
        assert await last_used(store) == START
        assert tracker.pending == 1
        await tracker.close()
        assert await last_used(store) == START + timedelta(seconds=30)
        assert tracker.pending == 0

    asyncio.run(scenario())


def test_a_store_that_fails_loses_nothing() -> None:
    """Uses and calls are kept, with what comes meanwhile, and written when it is back."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        key = record(rotated_to="AAAAbbbb0002", rotated_at=START, grace_until=START)
        await store.add(key, entry())
        whose, tracker = Identified(key), UseTracker(store)
        store.failure = StoreError("gone")
        for number in (3, 5):
            tracker.see(whose, seconds(number), "192.0.2.1")
            await tracker.write()
        store.failure = None
        await tracker.write()
        assert await last_used(store) == START + timedelta(seconds=5)
        assert (await store.grace_use(KEY_ID)).calls == 2

    asyncio.run(scenario())


def test_calls_in_a_grace_are_written_without_delay() -> None:
    """Whoever watches the old key fade need not wait a minute; addresses are bounded between two writes."""

    async def scenario() -> None:
        store = MemoryKeyStore()
        key = record(rotated_to="AAAAbbbb0002", rotated_at=START, grace_until=START)
        await store.add(key, entry())
        whose, tracker = Identified(key), UseTracker(store)
        for number in range(3):
            tracker.see(whose, seconds(number), "192.0.2.1")
            await tracker.write()
        assert (await store.grace_use(KEY_ID)).calls == 3
        for number in range(5_000):
            tracker.see(whose, seconds(9), f"address {number}")
        assert len(tracker._calls[KEY_ID]) <= 101
        await tracker.write()
        assert (await store.grace_use(KEY_ID)).calls == 5_003

    asyncio.run(scenario())


def test_many_keys_are_written_in_pieces() -> None:
    """Where all keys are due at once, checks and other work get their turns between them."""

    async def scenario() -> None:
        store = Pieces()
        tracker = UseTracker(store)
        keys = [identified(f"AAAAbbbb{number:04}") for number in range(1_200)]
        for whose in keys:
            tracker.see(whose, START_US, "192.0.2.1")
        await tracker.write()
        assert sorted(store.sizes) == [200, 500, 500]
        for whose in keys:
            tracker.see(whose, seconds(5), "192.0.2.1")
        turns = asyncio.create_task(store.count_turns())
        await tracker.write()
        turns.cancel()
        # None of them is due yet, and looking for that takes three turns.
        assert store.turns >= 3
        assert len(store.sizes) == 3
        assert tracker.pending == 1_200

    asyncio.run(scenario())


def test_whoever_ends_in_the_middle_of_a_write_loses_nothing() -> None:
    """What the store was just being told, and what came after it, is written at the end."""

    async def scenario() -> None:
        store = Pieces()
        tracker = UseTracker(store)
        keys = [identified(f"AAAAbbbb{number:04}", grace_until=START) for number in range(1_200)]
        for whose in keys:
            tracker.see(whose, START_US, "192.0.2.1")
        store.hangs = True
        writing = asyncio.create_task(tracker.write())
        await store.asked.wait()
        assert not store.told
        await end(writing)
        store.hangs = False
        await tracker.close()
        assert store.told == dict.fromkeys((key.key_id for key in keys), 1)
        assert tracker.pending == 0

    asyncio.run(scenario())
