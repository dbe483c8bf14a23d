"""Lists on a large or untidy Redis: order among keys of one moment, bounds, and entries without a record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from extauth.clock import to_us
from extauth.stores.base import LOOKED_AT_ONCE, AuditFilter, KeyFilter
from extauth.stores.redis import layout
from extauth.stores.redis.fields import to_fields
from extauth.stores.redis.scripts import Command
from extauth.stores.redis.store import RedisKeyStore
from tests.fakes import START
from tests.keys import entry, record
from tests.redis.server import RedisServer, opened
from tests.redis.state import assert_consistent


async def load(store: RedisKeyStore, number: int, **same: Any) -> list[str]:
    """Put records straight in, all made in the same microsecond; return their ids in order."""
    ids = [f"AAAA{each:08}" for each in range(number)]
    commands: list[Command] = []
    for key_id in ids:
        key = record(key_id, **same)
        commands += [
            ("HSET", layout.record(key_id), *to_fields(key)),
            ("ZADD", layout.ALL_KEYS, to_us(key.created_at), key_id),
        ]
        if key.expires_at is not None:
            commands.append(("ZADD", layout.EXPIRING, to_us(key.expires_at), key_id))
    for start in range(0, len(commands), 1000):
        await store._link.write(*commands[start : start + 1000])
    return ids


async def listed(
    store: RedisKeyStore, wanted: KeyFilter, *, cursor: str | None = None, limit: int = 100
) -> list[str]:
    """Return the ids on all pages."""
    ids: list[str] = []
    while True:
        page = await store.list(wanted, cursor=cursor, limit=limit)
        ids += [key.key_id for key in page.keys]
        cursor = page.next_cursor
        if cursor is None:
            return ids


@pytest.mark.parametrize("limit", [1, 7, 199, 200, 201, 1000])
def test_keys_of_one_microsecond_are_each_listed_once(server: RedisServer, limit: int) -> None:
    """However many there are, whatever the size of a page: an import makes thousands at once."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            ids = await load(store, 450)
            assert await listed(store, KeyFilter(), limit=limit) == ids

    asyncio.run(scenario())


def test_a_cursor_holds_when_its_key_is_gone(server: RedisServer) -> None:
    """The list goes on behind where the key was, also among others of the same microsecond."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            ids = await load(store, 60)
            for number in (1, 7, 30, 58, 59):
                cursor = f"{to_us(START)}.{ids[number]}"
                server.ask("ZREM", layout.ALL_KEYS, ids[number])
                assert await listed(store, KeyFilter(), cursor=cursor, limit=10) == [
                    key_id
                    for key_id in ids[number + 1 :]
                    if server.ask("ZSCORE", layout.ALL_KEYS, key_id) is not None
                ]
            assert await listed(store, KeyFilter(), cursor=f"{to_us(START) + 1}.a") == []
            assert len(await listed(store, KeyFilter(), cursor=f"{to_us(START) - 1}.zzz")) == 55

    asyncio.run(scenario())


def test_ids_are_ordered_by_their_bytes(server: RedisServer) -> None:
    """Upper case before lower case, wherever the server runs: its locale decides nothing."""

    async def scenario() -> None:
        ids = ["0", "9z", "A", "B", "Z0", "a", "aB", "ab", "b"]
        async with opened(server.url) as store:
            for key_id in reversed(ids):
                await store.add(record(key_id), entry(key_id))
            assert await listed(store, KeyFilter(), limit=2) == ids
            for number, key_id in enumerate(ids):
                server.ask("ZREM", layout.ALL_KEYS, key_id)
                rest = await listed(store, KeyFilter(), cursor=f"{to_us(START)}.{key_id}", limit=2)
                assert rest == ids[number + 1 :]

    asyncio.run(scenario())


def test_a_page_looks_at_a_bounded_number_of_records(server: RedisServer) -> None:
    """A filter without an index that fits nothing ends a page early."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            await load(store, LOOKED_AT_ONCE + 10)
            page = await store.list(KeyFilter(active=False), limit=10)
            assert page.keys == ()
            assert page.next_cursor == f"{to_us(START)}.AAAA{LOOKED_AT_ONCE - 1:08}"
            page = await store.list(KeyFilter(active=False), cursor=page.next_cursor, limit=10)
            assert (page.keys, page.next_cursor) == ((), None)

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [20, LOOKED_AT_ONCE + 5])
def test_what_expires_soon_is_found_by_its_index_or_without(server: RedisServer, number: int) -> None:
    """Few are looked up, many are looked through: the pages are the same, oldest first."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            ids = await load(store, number, expires_at=START + timedelta(days=1))
            later = record("B", created_at=START - timedelta(1), expires_at=START + timedelta(days=1))
            await store.add(later, entry("B"))
            await store.add(record("C", expires_at=START + timedelta(days=2)), entry("C"))
            wanted = KeyFilter(expires_before=START + timedelta(days=1, microseconds=1))
            assert await listed(store, wanted, limit=700) == ["B", *ids]
            assert await listed(store, KeyFilter(expires_before=START + timedelta(days=1))) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("wanted", [KeyFilter(), KeyFilter(user_id="user-1"), KeyFilter(tier="default")])
def test_an_entry_without_a_record_is_passed_over_and_removed(
    servers: Sequence[RedisServer], url: str, wanted: KeyFilter
) -> None:
    """Whatever left it there, nobody sees half a key, and the next list doesn't meet it again."""

    async def scenario() -> None:
        async with opened(url) as store:
            await store.add(record(), entry())
            indexes = {
                layout.ALL_KEYS,
                layout.keys_of_user("user-1") if wanted.user_id else layout.ALL_KEYS,
                layout.keys_of_tier("default") if wanted.tier else layout.ALL_KEYS,
            }
            await store._link.write(*(("ZADD", index, to_us(START), "AAAAbbbb0009") for index in indexes))
            assert await listed(store, wanted) == ["AAAAbbbb0001"]
        assert_consistent(servers)

    asyncio.run(scenario())


def test_the_history_of_a_key_is_found_without_looking_through_all(server: RedisServer) -> None:
    """And so is a short time, though the log is long."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            await store.note(entry("first", action="key.first"))
            for number in range(LOOKED_AT_ONCE + 1):
                await store.note(entry("", at=START + timedelta(hours=1, seconds=number)))
            for wanted in (AuditFilter(key_id="first"), AuditFilter(until=START + timedelta(hours=1))):
                page = await store.audit(wanted)
                assert [one.action for one in page.entries] == ["key.first"]
                assert page.next_cursor is None
            page = await store.audit(AuditFilter(action="key.first"))
            assert page.entries == ()
            page = await store.audit(AuditFilter(action="key.first"), cursor=page.next_cursor)
            assert [one.action for one in page.entries] == ["key.first"]
            assert await store.trim_audit(START + timedelta(days=9)) == LOOKED_AT_ONCE + 2
        assert server.ask("KEYS", "*audit-of*") == []

    asyncio.run(scenario())
