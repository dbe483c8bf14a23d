"""What can happen to a key, from its creation to its end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from extauth.errors import InvalidInputError, NotFoundError
from extauth.keys.asked import KeyChange, NewKey
from extauth.keys.token import parse_key
from extauth.model import ApiKey
from extauth.stores.base import AuditEntry, KeyFilter
from tests.fakes import START, MemoryKeyStore
from tests.managing import BY, new_key, rig


def test_a_created_key_is_recorded_as_asked() -> None:
    """The record holds what was asked for, the time, and a hash; the text fits the record."""

    async def scenario() -> None:
        async with rig() as it:
            issued = await it.service.create(
                new_key(scopes=("b:read", "a:*", "b:read"), environment="test", lifetime=timedelta(days=90)),
                BY,
            )
            record, text = issued.record, parse_key(issued.text)
            assert (record.user_id, record.name, record.tier) == ("user-1", "a key", "free")
            assert (record.environment, record.key_id) == ("test", text.key_id)
            assert record.scopes == ("b:read", "a:*")
            assert (record.created_at, record.expires_at) == (START, START + timedelta(days=90))
            assert (record.active, record.revoked_at, record.version) == (True, None, 1)
            assert issued.text.startswith(f"acme_test_{record.key_id}_")
            await it.hasher.verify(record.hashed_key, text.secret)
            stored = await it.service.get(record.key_id)
            assert stored.hashed_key == record.hashed_key

    asyncio.run(scenario())


def test_nothing_shows_the_secret() -> None:
    """The hint holds prefix, id and last four; no representation holds the key or its hash."""

    async def scenario() -> None:
        async with rig() as it:
            issued = await it.service.create(new_key(), BY)
            record, text = issued.record, parse_key(issued.text)
            assert record.hint == f"acme_live_{record.key_id}_…{issued.text[-4:]}"
            for shown in (repr(issued), str(issued), repr(record), str(record), f"{record}", repr([issued])):
                assert text.secret not in shown
                assert text.tag not in shown
                assert record.hashed_key not in shown
                assert "argon2" not in shown

    asyncio.run(scenario())


def test_every_mistake_is_told_at_once() -> None:
    """Whoever asks needn't find out one after the other; nothing is stored and nothing hashed."""

    async def scenario() -> None:
        async with rig() as it:
            wrong = NewKey(
                user_id="two words",
                name="",
                tier="gold",
                environment="moon",
                scopes=("or ders", "a::b", *(f"s{number}" for number in range(40))),
                lifetime=timedelta(0),
            )
            with pytest.raises(InvalidInputError) as caught:
                await it.service.create(wrong, BY)
            assert str(caught.value).split("; ") == [
                "the user id needs 1 to 128 printable ASCII characters without spaces",
                "the name needs 1 to 128 printable characters",
                "there is no tier 'gold'",
                "there is free, pro",
                "there is no environment 'moon'",
                "there is live, test",
                "a key holds at most 32 scopes and 1024 characters of them",
                "'or ders' is not a scope",
                "scopes look like orders:read or orders:*",
                "'a::b' is not a scope",
                "scopes look like orders:read or orders:*",
                "the key would have ended already",
            ]
            assert [field for field, _ in caught.value.mistakes] == [
                "user_id", "name", "tier", "environment", "scopes", "scopes", "scopes", "lifetime",
            ]  # fmt: skip
            assert await it.store.count() == 0

    asyncio.run(scenario())


MISTAKES: list[dict[str, Any]] = [
    {"user_id": ""},
    {"user_id": "x" * 129},
    {"user_id": "a\r\nX-Auth-User-Id: root"},
    {"user_id": "josé"},
    {"user_id": "tab\there"},
    {"name": "x" * 129},
    {"name": "two\nlines"},
    {"tier": ""},
    {"environment": "LIVE"},
    {"scopes": ("",)},
    {"scopes": ("a b",)},
    {"scopes": ("x" * 65,)},
    {"scopes": tuple(f"{number:02}{'x' * 62}" for number in range(16))},
    {"lifetime": timedelta(seconds=-1)},
    {"lifetime": timedelta.max},
]


@pytest.mark.parametrize("changes", MISTAKES)
def test_a_mistake_is_refused(changes: dict[str, Any]) -> None:
    """Whatever could not travel in a header, or has no meaning here, is never stored."""

    async def scenario() -> None:
        async with rig() as it:
            with pytest.raises(InvalidInputError):
                await it.service.create(new_key(**changes), BY)
            assert await it.store.count() == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "x" * 128},
        {"user_id": "urn:acme:user/42#a@example.com"},
        {"name": "Müllers Schlüssel 🔑"},
        {"scopes": tuple(f"scope-{number:03}:{'x' * 21}" for number in range(32))},
        {"scopes": ("*",)},
        {"lifetime": None},
    ],
)
def test_the_widest_that_is_allowed_is_taken(changes: dict[str, Any]) -> None:
    """The bounds are bounds, not one less."""

    async def scenario() -> None:
        async with rig() as it:
            issued = await it.service.create(new_key(**changes), BY)
            stored = await it.service.get(issued.record.key_id)
            assert stored.key_id == issued.record.key_id

    asyncio.run(scenario())


def test_revoking_ends_a_key_and_a_second_time_changes_nothing() -> None:
    """The moment of the first revocation stays."""

    async def scenario() -> None:
        async with rig() as it:
            issued = await it.service.create(new_key(), BY)
            it.clock.advance(seconds=60)
            revoked = await it.service.revoke(issued.record.key_id, BY)
            assert (revoked.active, revoked.version) == (False, 2)
            assert revoked.revoked_at == START + timedelta(seconds=60)
            it.clock.advance(seconds=60)
            again = await it.service.revoke(issued.record.key_id, BY)
            assert (again.revoked_at, again.version) == (revoked.revoked_at, 2)

    asyncio.run(scenario())


def test_a_revocation_wins_over_a_change_at_the_same_moment() -> None:
    """Somebody else saved between the read and the write: it is revoked, and their change is kept."""

    class RacedStore(MemoryKeyStore):
        """A store in which the first save of this service always comes second."""

        raced = False

        async def save(self, key: ApiKey, entry: AuditEntry) -> None:
            """Let somebody else be faster, once."""
            if not self.raced:
                self.raced = True
                stored = await self.get(key.key_id)
                assert stored is not None
                await super().save(replace(stored, name="renamed", version=stored.version + 1), entry)
            await super().save(key, entry)

    async def scenario() -> None:
        async with rig() as it:
            it.service._store = RacedStore()
            issued = await it.service.create(new_key(), BY)
            revoked = await it.service.revoke(issued.record.key_id, BY)
            assert (revoked.name, revoked.version, revoked.active) == ("renamed", 3, False)

    asyncio.run(scenario())


def test_an_unknown_key_is_told() -> None:
    """Showing and revoking name the id that isn't there."""

    async def scenario() -> None:
        async with rig() as it:
            for act in (
                it.service.get("nosuchkey"),
                it.service.grace("nosuchkey"),
                it.service.revoke("nosuchkey", BY),
                it.service.rotate("nosuchkey", BY),
                it.service.disable("nosuchkey", BY),
                it.service.update("nosuchkey", KeyChange(name="x"), BY),
            ):
                with pytest.raises(NotFoundError, match="nosuchkey"):
                    await act

    asyncio.run(scenario())


def test_lists_are_those_of_the_store() -> None:
    """User, cursor and size are handed through."""

    async def scenario() -> None:
        async with rig() as it:
            for user in ("a", "b", "a", "a"):
                it.clock.advance(seconds=1)
                await it.service.create(new_key(user_id=user), BY)
            first = await it.service.list(KeyFilter(user_id="a"), limit=2)
            rest = await it.service.list(KeyFilter(user_id="a"), limit=2, cursor=first.next_cursor)
            assert [len(first.keys), len(rest.keys), rest.next_cursor] == [2, 1, None]

    asyncio.run(scenario())
