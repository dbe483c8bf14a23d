"""Two who change one key at the same time, step by step: the slower one never has the last word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from extauth.errors import StoreError
from extauth.stores.redis import layout
from extauth.stores.redis.link import RefusedError, Sync
from extauth.stores.redis.places import Place
from extauth.stores.redis.scripts import Command
from extauth.stores.redis.store import RedisKeyStore
from tests.fakes import START
from tests.keys import entry, record, rotated
from tests.redis.dying import DiedError, Dying
from tests.redis.server import RedisServer, opened
from tests.redis.state import actions_in, assert_consistent, everything

OLD, NEW = "AAAAbbbb0001", "AAAAbbbb0002"


def before_the_indexes(store: RedisKeyStore, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Let something happen once, between the step that decides a change and the one that lists the key."""
    write = store._link.write
    left = [meanwhile]

    async def hooked(*commands: Command, sync: Sync = Sync.NEVER) -> list[Any]:
        if left and any(command[0] == "ZADD" for command in commands):
            await left.pop()()
        return await write(*commands, sync=sync)

    store._link.write = hooked  # type: ignore[method-assign]  # this store is this test's


def test_the_slower_of_two_leaves_no_trace_of_its_own_version(
    servers: Sequence[RedisServer], url: str
) -> None:
    """It lists the key where the record no longer says, sees that, and takes it off there again."""

    async def scenario() -> None:
        async with opened(url) as slow, opened(url) as fast:
            await slow.add(record(tier="a", pepper_id="aa"), entry())
            last = record(
                tier="c", pepper_id="cc", user_id="other", revoked_at=START, active=False, version=3
            )
            before_the_indexes(slow, lambda: fast.save(last, entry(action="key.fast")))
            await slow.save(
                record(tier="b", pepper_id="bb", user_id="some", version=2), entry(action="key.slow")
            )
        state = assert_consistent(servers)
        assert actions_in(state, OLD) == ["key.created", "key.slow", "key.fast"]

    asyncio.run(scenario())


def test_what_was_purged_meanwhile_is_not_listed_again(servers: Sequence[RedisServer], url: str) -> None:
    """Nor does a purge take off the lists what was made again under the same id."""

    async def scenario() -> None:
        async with opened(url) as slow, opened(url) as fast:
            revoked = record(revoked_at=START, active=False)

            async def purge_and_make_again() -> None:
                # No list has it yet, so it is removed as a purge removes what it found.
                assert await fast._changes.remove(OLD, 1, Place.of(revoked), entry(action="key.purged"))
                await fast.add(record(tier="again"), entry(action="key.again"))

            before_the_indexes(slow, purge_and_make_again)
            await slow.add(revoked, entry())
        state = assert_consistent(servers)
        assert actions_in(state, OLD) == ["key.created", "key.purged", "key.again"]

    asyncio.run(scenario())


def test_a_change_takes_a_key_off_the_lists_of_one_that_died(
    servers: Sequence[RedisServer], url: str
) -> None:
    """At once, without waiting for a repair: the user it belonged to may have another."""

    async def scenario() -> None:
        async with opened(url) as dying, opened(url) as other:
            await other.add(record(), entry())
            # Dead right behind the step that replaced the record.
            Dying(dying, at=3, when="after")
            with pytest.raises(DiedError):
                await dying.save(record(user_id="some", version=2), entry(action="key.moved"))
            await other.save(record(user_id="some", name="again", version=3), entry(action="key.again"))
            state = everything(servers)
            assert layout.unrevoked_of_user("user-1") not in state
            assert actions_in(state, OLD) == ["key.created", "key.moved", "key.again"]
            await other.add(record(NEW), entry(NEW), most_of_user=1)
            await other.repair(left_for_ms=0)
        assert_consistent(servers)

    asyncio.run(scenario())


def test_a_rotation_that_holds_keeps_its_new_key(server: RedisServer) -> None:
    """Redis may refuse what follows from it, for want of memory: the successor that is named exists."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            await store.add(record(), entry())

            async def refuse() -> None:
                raise RefusedError("OOM")

            async def refuse_the_second() -> None:
                before_the_indexes(store, refuse)

            before_the_indexes(store, refuse_the_second)
            with pytest.raises(StoreError, match="the change holds") as fault:
                await store.rotate(record(rotated_to=NEW, version=2), record(NEW), rotated())
            assert not isinstance(fault.value, RefusedError)
            assert list(await store.versions([OLD, NEW])) == [2, 1]
            await store.repair(left_for_ms=0)
        state = assert_consistent([server])
        assert actions_in(state, OLD) == ["key.created", "key.rotated"]
        assert actions_in(state, NEW) == ["key.created"]

    asyncio.run(scenario())
