"""Hashes made under other costs are replaced when their secret comes by, off the check's path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from extauth.errors import StoreError
from extauth.keys.hashing import HashingParameters, SecretHasher
from extauth.keys.rehash import Rehasher
from extauth.model import ApiKey
from tests.fakes import FakeClock, MemoryKeyStore
from tests.keys import CHEAP, entry, record

SECRET = "s" * 43
DEARER = HashingParameters(memory_kib=16, time_cost=2)


@asynccontextmanager
async def prepared() -> AsyncIterator[tuple[MemoryKeyStore, SecretHasher, Rehasher, ApiKey]]:
    """Give a store with a key whose hash is cheap, and a rehasher that wants dearer ones."""
    store, cheap, dear = MemoryKeyStore(), SecretHasher(CHEAP, workers=1), SecretHasher(DEARER, workers=1)
    try:
        key = record(hashed_key=await cheap.hash(SECRET))
        await store.add(key, entry())
        yield store, dear, Rehasher(store, dear, FakeClock()), key
    finally:
        cheap.close()
        dear.close()


def test_an_outdated_hash_is_replaced_once() -> None:
    """It fits the same secret, the version rises, and the log says so without either hash."""

    async def scenario() -> None:
        async with prepared() as (store, hasher, rehasher, key):
            for _ in range(5):
                rehasher.look(key, SECRET)
            await rehasher.close()
            changed = await store.get(key.key_id)
            assert changed is not None
            assert changed.version == 2
            assert "m=16,t=2" in changed.hashed_key
            await hasher.verify(changed.hashed_key, SECRET)
            rehasher.look(changed, SECRET)
            await rehasher.close()
            assert [one.action for one in store.entries] == ["key.created", "key.rehashed"]
            assert (store.entries[1].actor, store.entries[1].after) == ("server", {})

    asyncio.run(scenario())


def test_somebody_elses_change_is_not_undone() -> None:
    """Where the hash is another by then, or the key gone, nothing is written."""

    async def scenario() -> None:
        async with prepared() as (store, hasher, rehasher, key):
            await store.save(record(hashed_key=await hasher.hash("other"), version=2), entry())
            rehasher.look(key, SECRET)
            rehasher.look(record("AAAAbbbb0009", hashed_key=key.hashed_key), SECRET)
            await rehasher.close()
            assert len(store.entries) == 2

    asyncio.run(scenario())


def test_a_failure_is_no_matter() -> None:
    """The check was answered long ago; it is tried again another time."""

    async def scenario() -> None:
        async with prepared() as (store, _, rehasher, key):
            store.failure = StoreError("gone")
            rehasher.look(key, SECRET)
            await rehasher.close()
            store.failure = None
            rehasher.look(key, SECRET)
            await rehasher.close()
            changed = await store.get(key.key_id)
            assert changed is not None
            assert changed.version == 2

    asyncio.run(scenario())
