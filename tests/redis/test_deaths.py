"""Whoever makes a change may die at any point of it: what is found afterwards is whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from extauth.errors import ConflictError, TooManyKeysError
from extauth.stores.redis import layout
from extauth.stores.redis.store import RedisKeyStore
from tests.fakes import START
from tests.keys import entry, record, rotated
from tests.redis.dying import DiedError, Dying, When
from tests.redis.server import RedisServer, opened
from tests.redis.state import actions_in, assert_consistent, everything, records_in

OLD, NEW = "AAAAbbbb0001", "AAAAbbbb0002"
HOUR = timedelta(hours=1)

# The version of a key, 0 for none, and what was audited about it.
Found = tuple[int, list[str]]
Do = Callable[[RedisKeyStore], Awaitable[object]]


def kind_of(state: dict[str, Any]) -> dict[str, Found]:
    """Return version and audited actions of each key, also of those that are gone."""
    versions = {key.key_id: key.version for key in records_in(state)}
    return {key_id: (versions.get(key_id, 0), actions_in(state, key_id)) for key_id in (OLD, NEW)}


MADE: Found = (1, ["key.created"])
NOTHING: Found = (0, [])
REVOKED = record(revoked_at=START, active=False, tier="pro", pepper_id="aa")
MOVED = record(
    tier="pro", pepper_id="bb", user_id="user-2", expires_at=START + HOUR, version=2, name="changed"
)
ROTATED = record(rotated_to=NEW, rotated_at=START, grace_until=START + HOUR, version=2)

# What is done, what is there before, and all that may be found after a death: each time versions and audit.
CHANGES: dict[str, tuple[Do, list[Any], list[dict[str, Found]]]] = {
    "add": (
        lambda store: store.add(record(expires_at=START + HOUR), entry(), most_of_user=5),
        [],
        [{OLD: NOTHING, NEW: NOTHING}, {OLD: MADE, NEW: NOTHING}],
    ),
    "save": (
        lambda store: store.save(MOVED, entry(action="key.updated")),
        [record()],
        [{OLD: MADE, NEW: NOTHING}, {OLD: (2, ["key.created", "key.updated"]), NEW: NOTHING}],
    ),
    "rotate": (
        lambda store: store.rotate(ROTATED, record(NEW, rotated_from=OLD), rotated()),
        [record()],
        [
            {OLD: MADE, NEW: NOTHING},
            {OLD: MADE, NEW: (1, [])},
            {OLD: (2, ["key.created", "key.rotated"]), NEW: MADE},
        ],
    ),
    "purge": (
        lambda store: store.purge(START + HOUR, entry("", action="key.purged")),
        [REVOKED],
        [{OLD: MADE, NEW: NOTHING}, {OLD: (0, ["key.created", "key.purged"]), NEW: NOTHING}],
    ),
    "add a taken id": (
        lambda store: store.add(record(user_id="user-2", tier="pro"), entry(action="key.second")),
        [record()],
        [{OLD: MADE, NEW: NOTHING}],
    ),
    "add one too many": (
        lambda store: store.add(record(NEW), entry(NEW), most_of_user=1),
        [record()],
        [{OLD: MADE, NEW: NOTHING}],
    ),
}


async def prepare(store: RedisKeyStore, servers: Sequence[RedisServer], before: Sequence[Any]) -> None:
    """Begin with these records."""
    for server in servers:
        server.ask("FLUSHALL")
    for key in before:
        await store.add(key, entry())


async def die(url: str, do: Do, *, at: int, when: When) -> int | None:
    """Do it and die at that trip; return how many trips it took where it came through."""
    async with opened(url) as store:
        dying = Dying(store, at=at, when=when)
        try:
            with contextlib.suppress(ConflictError, TooManyKeysError):
                await do(store)
        except DiedError:
            return None
        return dying.trips


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("when", ["before", "within", "after"])
def test_a_death_at_any_trip_leaves_all_or_nothing(
    servers: Sequence[RedisServer], url: str, name: str, when: When
) -> None:
    """After the repair each index agrees with the records, and what happened is audited once."""
    do, before, outcomes = CHANGES[name]

    async def scenario() -> None:
        found = []
        async with opened(url) as other:
            for at in range(1, 40):
                await prepare(other, servers, before)
                if await die(url, do, at=at, when=when) is not None:
                    break
                await other.repair(left_for_ms=0)
                assert await other.repair(left_for_ms=0) == 0
                outcome = kind_of(assert_consistent(servers))
                assert outcome in outcomes, at
                found.append(outcome)
            assert kind_of(assert_consistent(servers)) == outcomes[-1]
        assert len(found) >= 2

    asyncio.run(scenario())


@pytest.mark.parametrize(("name", "dead_at"), [("add", 5), ("save", 5), ("purge", 5), ("rotate", 10)])
def test_the_repair_may_die_too(servers: Sequence[RedisServer], url: str, name: str, dead_at: int) -> None:
    """What repairs a change does the same steps, and another repair does them again."""
    do, before, outcomes = CHANGES[name]

    async def scenario() -> None:
        async with opened(url) as other:
            for at in range(1, 8):
                await prepare(other, servers, before)
                assert await die(url, do, at=dead_at, when="after") is None
                await die(url, lambda store: store.repair(left_for_ms=0), at=at, when="after")
                await other.repair(left_for_ms=0)
                assert kind_of(assert_consistent(servers)) == outcomes[-1]

    asyncio.run(scenario())


def test_the_next_change_of_any_key_repairs_what_was_left(servers: Sequence[RedisServer], url: str) -> None:
    """A server that runs for months needs nobody to call for a repair."""

    async def scenario() -> None:
        assert await die(url, CHANGES["add"][0], at=4, when="after") is None
        holder = next(server for server in servers if _holds_the_journal(server))
        (change,) = holder.ask("ZRANGE", layout.UNDER_WAY, 0, -1)
        holder.ask("ZADD", layout.UNDER_WAY, 1, change)
        async with opened(url) as store:
            pass
        assert_consistent(servers)
        assert await die(url, CHANGES["save"][0], at=4, when="after") is None
        (change,) = holder.ask("ZRANGE", layout.UNDER_WAY, 0, -1)
        async with opened(url) as store:
            holder.ask("ZADD", layout.UNDER_WAY, 1, change)
            await store.add(record(NEW), entry(NEW))
            state = assert_consistent(servers)
        assert kind_of(state) == {OLD: (2, ["key.created", "key.updated"]), NEW: MADE}

    asyncio.run(scenario())


def _holds_the_journal(server: RedisServer) -> bool:
    return layout.UNDER_WAY in everything([server])


def test_a_change_of_the_same_key_first_completes_the_one_before(
    servers: Sequence[RedisServer], url: str
) -> None:
    """Nobody waits for a repair to see both audited, in order and once."""

    async def scenario() -> None:
        async with opened(url) as store:
            await store.add(record(), entry())
            # Dead right behind the step that replaced the record.
            assert await die(url, CHANGES["save"][0], at=3, when="after") is None
            await store.save(record(version=3, name="again"), entry(action="key.again"))
            await store.repair(left_for_ms=0)
            state = assert_consistent(servers)
        assert kind_of(state)[OLD] == (3, ["key.created", "key.updated", "key.again"])

    asyncio.run(scenario())
