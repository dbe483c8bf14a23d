"""No stale state of a key survives a change, whenever it comes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from extauth.clock import from_us
from extauth.errors import StoreError
from extauth.keys import records
from extauth.keys.directory import Rejection
from extauth.model import ApiKey
from tests.directory import Entry, rig
from tests.fakes import START
from tests.keys import entry, mint, record_for
from tests.waiting import eventually


def test_a_key_that_may_be_used_again_is_let_in() -> None:
    """A remembered refusal ends with the state that it came from."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = await it.issue(active=False)
            assert (await it.refused(text)).reason == "disabled"
            await it.change(parts.key_id, active=True)
            it.records.forget([parts.key_id])
            assert isinstance(await it.ask(text), Entry)

    asyncio.run(scenario())


def test_a_warm_key_that_expires_is_told_by_its_entry() -> None:
    """The directory says who it is; whether the key may be used now its entry says, each time anew."""

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue(expires_at=START + timedelta(seconds=60))
            assert isinstance(await it.ask(text), Entry)
            it.clock.advance(seconds=60)
            entry = it.directory.recall(text)
            assert isinstance(entry, Entry)
            assert entry.refusal(it.clock.now_us()) == "expired"

    asyncio.run(scenario())


def test_an_unknown_id_is_remembered_until_it_appears() -> None:
    """A key that isn't there asks the store once; as soon as it is added it is let in."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = mint()
            for _ in range(10):
                assert await it.refused(text.encode()) == Rejection("unknown key id", parts.key_id)
            assert it.store.calls["get"] == 1
            hashed = await it.hasher.hash(parts.secret)
            await it.store.add(record_for(text, parts, hashed_key=hashed), entry())
            it.records.forget([parts.key_id])
            assert isinstance(await it.ask(text.encode()), Entry)

    asyncio.run(scenario())


def test_a_change_is_seen_without_argon2() -> None:
    """What is forgotten is the state; that this secret belongs to this id stays true."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = await it.issue()
            await it.ask(text)
            await it.change(parts.key_id, tier="pro")
            for everything in (False, True):
                if everything:
                    it.records.forget_all()
                else:
                    it.records.forget([parts.key_id])
                entry = await it.ask(text)
                assert isinstance(entry, Entry)
                assert entry.key.tier == "pro"
            assert it.hasher.verifications == 1

    asyncio.run(scenario())


def test_changes_of_other_keys_do_not_hold_a_load_up() -> None:
    """However many come: only a change of this very key makes it read again."""

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue()
            get = it.store.get

            async def while_others_change(key_id: str) -> ApiKey | None:
                it.records.forget(["AAAAbbbb0009"])
                return await get(key_id)

            it.store.get = while_others_change  # type: ignore[method-assign]  # others change all the time
            assert isinstance(await it.ask(text), Entry)
            assert it.store.calls["get"] == 1

    asyncio.run(scenario())


def test_a_store_that_never_answers_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bounded time, as a fault of the store."""
    monkeypatch.setattr(records, "LONGEST_LOAD_SECONDS", 0.01)

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue()
            it.store.held = asyncio.Event()
            with pytest.raises(StoreError, match="did not answer"):
                await it.ask(text)
            it.store.held.set()
            assert isinstance(await it.ask(text), Entry)

    asyncio.run(scenario())


@pytest.mark.parametrize("everything", [False, True])
def test_a_change_while_a_load_is_under_way_is_not_lost(everything: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """The store has read the old record, then the key is revoked and forgotten: the old one is not kept."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = await it.issue()
            it.store.held = asyncio.Event()
            asking = asyncio.create_task(it.directory.identify(text))
            await eventually(lambda: it.store.calls["get"] == 1)
            held, it.store.held = it.store.held, None
            await it.change(parts.key_id, active=False, revoked_at=START)
            if everything:
                it.records.forget_all()
            else:
                it.records.forget([parts.key_id])
            held.set()
            assert await asking == Rejection("revoked", parts.key_id)
            assert it.hasher.verifications == 0

    asyncio.run(scenario())


def test_a_change_while_argon2_works_is_not_lost() -> None:
    """The record was read, argon2 is at work, then the key is revoked: the answer carries the new state."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = await it.issue()
            verify = it.hasher.verify

            async def slow(hashed: str, secret: str) -> None:
                await verify(hashed, secret)
                await it.change(parts.key_id, active=False, revoked_at=from_us(it.clock.now_us()))
                it.records.forget([parts.key_id])

            it.hasher.verify = slow  # type: ignore[method-assign]  # the one place where a change can come in between
            entry = await it.ask(text)
            assert isinstance(entry, Entry)
            assert entry.refusal(it.clock.now_us()) == "revoked"
            assert it.directory.recall(text) is entry

    asyncio.run(scenario())


def test_a_store_that_fails_is_told_and_not_remembered() -> None:
    """StoreError passes to whoever asks, and when the store is back the key is let in."""

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue()
            it.store.failure = StoreError("gone")
            answers = await asyncio.gather(
                *(it.directory.identify(text) for _ in range(3)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [StoreError] * 3
            it.store.failure = None
            assert isinstance(await it.ask(text), Entry)

    asyncio.run(scenario())
