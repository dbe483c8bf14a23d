"""Keys of a Redis from before there was a search: they are found by it once a server has started."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from extauth.stores.redis import layout, search
from extauth.stores.redis.places import Place
from extauth.stores.redis.store import RedisKeyStore
from tests.fakes import START
from tests.keys import entry, record
from tests.redis.server import RedisServer, opened
from tests.redis.state import assert_consistent, everything

KEYS = 11


async def fill(store: RedisKeyStore, *, lacking: Sequence[int]) -> None:
    """Keep keys, some of them as an earlier version did: without words."""
    for number in range(KEYS):
        key = record(f"AAAA{number:08}", user_id=f"user-{number // 4}", name=f"Key {number}")
        await store.add(key, entry(key.key_id))
        if number in lacking:
            (words,) = await store._link.read(("ZRANGE", layout.WORDS, 0, -1))
            gone = [word for word in words if word.endswith(f"\0{key.key_id}")]
            await store._link.write(("ZREM", layout.WORDS, *gone))


@pytest.mark.parametrize("lacking", [range(KEYS), (0, 5, KEYS - 1), (KEYS - 1,)], ids=["all", "some", "last"])
def test_keys_without_words_get_them_once(
    servers: Sequence[RedisServer], url: str, monkeypatch: pytest.MonkeyPatch, lacking: Sequence[int]
) -> None:
    """Across several trips, and no others are touched; a second look finds nothing to do."""
    monkeypatch.setattr(search, "_AT_ONCE", 3)

    async def scenario() -> None:
        async with opened(url) as store:
            await fill(store, lacking=lacking)
            assert await store.complete_search() == len(lacking)
            found = await store.search("key 1", limit=9)
            assert [key.name for key in found.keys] == ["Key 1", "Key 10"]
            assert await store.complete_search() == 0
        assert_consistent(servers)

    asyncio.run(scenario())


def test_what_an_earlier_version_changes_is_found_too(url: str) -> None:
    """In a rolling upgrade: keys that it adds and renames, also where it purges as many meanwhile."""

    async def scenario() -> None:
        async with opened(url) as store:
            await fill(store, lacking=())
            assert await store.complete_search() == 0
            (words,) = await store._link.read(("ZRANGE", layout.WORDS, 0, -1))
            added, renamed = record("AAAB00000001", name="added"), await store.get("AAAA00000001")
            revoked = await store.get("AAAA00000002")
            assert renamed is not None
            assert revoked is not None
            await store.add(added, entry(added.key_id))
            await store.save(replace(renamed, name="renamed", version=2), entry(renamed.key_id))
            await store.save(replace(revoked, revoked_at=START, version=2), entry(revoked.key_id))
            await store.purge(START + timedelta(days=1), entry(""))
            # It knows of no words.
            await store._link.write(("DEL", layout.WORDS), ("ZADD", layout.WORDS, *scored(words)))
            assert (await store.search("added", limit=9)).keys == ()
            assert await store.complete_search() == 2
            for name in ("added", "renamed"):
                assert [key.name for key in (await store.search(name, limit=9)).keys] == [name]
            assert (await store.search(revoked.key_id, limit=9)).keys == ()
            assert await store.complete_search() == 0

    asyncio.run(scenario())


def test_where_the_audit_log_has_a_gap_all_keys_are_looked_at(url: str) -> None:
    """What an earlier version did may have been trimmed since somebody looked."""

    async def scenario() -> None:
        async with opened(url) as store:
            assert await store.complete_search() == 0
            await fill(store, lacking=(0, 5))
            await store.trim_audit(START + timedelta(days=1))
            key = record("AAAB00000001")
            await store.add(key, entry(key.key_id))
            assert await store.complete_search() == 2
            assert await store.complete_search() == 0

    asyncio.run(scenario())


def scored(words: Sequence[str]) -> Iterator[str | int]:
    """Return arguments of ZADD."""
    for word in words:
        yield from (0, word)


def test_several_servers_at_once_while_keys_change(servers: Sequence[RedisServer], url: str) -> None:
    """Each key has the words of its last version in the end, and a purged one has none."""

    async def scenario() -> None:
        async with opened(url) as one, opened(url) as other, opened(url) as changing:
            await fill(one, lacking=range(KEYS))

            async def change() -> None:
                for number in range(0, KEYS, 2):
                    key = await changing.get(f"AAAA{number:08}")
                    assert key is not None
                    renamed = replace(key, name=f"other {number}", version=2)
                    await changing.save(renamed, entry(key.key_id, action="key.updated"))

            await asyncio.gather(one.complete_search(), change(), other.complete_search())
            assert [key.name for key in (await one.search("other", limit=2)).keys] == ["other 0", "other 10"]
        assert_consistent(servers)

    asyncio.run(scenario())


def test_one_that_ends_in_between_is_gone_on_with(servers: Sequence[RedisServer], url: str) -> None:
    """What it has done already is not done again."""

    async def scenario() -> None:
        async with opened(url) as store, opened(url) as dying:
            await fill(store, lacking=range(KEYS))
            unlist, left = dying._changes.unlist, iter(range(4))

            async def some(key_id: str, place: Place) -> None:
                if next(left, None) is None:
                    raise asyncio.CancelledError
                await unlist(key_id, place)

            dying._changes.unlist = some  # type: ignore[method-assign]  # this store is this test's
            with pytest.raises(asyncio.CancelledError):
                await dying.complete_search()
            assert await store.complete_search() == KEYS - 4
        assert len(everything(servers)[layout.WORDS]) == KEYS * 3

    asyncio.run(scenario())
