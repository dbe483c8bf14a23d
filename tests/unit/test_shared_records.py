"""With a store that other servers change too, each check asks for the version: nothing stale is ever used."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from extauth.errors import StoreError
from extauth.keys.directory import Rejection
from extauth.keys.records import MOST_AT_ONCE
from tests.directory import Entry, rig
from tests.fakes import START
from tests.keys import entry, mint
from tests.waiting import eventually


def test_a_warm_check_asks_for_the_version_and_nothing_else() -> None:
    """One trip, no record, no argon2."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, _ = await it.issue()
            first = await it.ask(text)
            assert isinstance(first, Entry)
            it.store.calls.clear()
            assert all([await it.ask(text) is first for _ in range(5)])
            assert it.store.calls == {"versions": 5}
            assert it.hasher.verifications == 1

    asyncio.run(scenario())


def test_all_checks_of_one_turn_ask_in_one_trip() -> None:
    """A thousand at once, of two keys: one trip, and one argon2 for each key."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            texts = [(await it.issue())[0] for _ in range(2)]
            answers = await asyncio.gather(*(it.ask(text) for text in texts for _ in range(500)))
            assert all(isinstance(answer, Entry) for answer in answers)
            assert it.hasher.verifications == 2
            it.store.calls.clear()
            await asyncio.gather(*(it.ask(text) for text in texts for _ in range(500)))
            assert it.store.calls == {"versions": 1}

    asyncio.run(scenario())


def test_a_trip_is_bounded() -> None:
    """However many keys are asked about at once."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            texts = [mint()[0].encode() for _ in range(MOST_AT_ONCE + 1)]
            answers = await asyncio.gather(*map(it.ask, texts))
            assert {type(answer) for answer in answers} == {Rejection}
            assert it.store.calls == {"versions": 2}

    asyncio.run(scenario())


@pytest.mark.parametrize("changes", [{"active": False, "revoked_at": START}, {"active": False}])
def test_a_change_elsewhere_holds_from_the_next_check_on(changes: dict[str, object]) -> None:
    """Nobody tells this server; it sees the version."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, parts = await it.issue()
            assert isinstance(await it.ask(text), Entry)
            await it.change(parts.key_id, **changes)
            entry = await it.ask(text)
            assert isinstance(entry, Entry)
            assert entry.refusal(it.clock.now_us()) in {"revoked", "disabled"}

    asyncio.run(scenario())


def test_a_key_that_is_enabled_elsewhere_is_let_in_by_the_next_check() -> None:
    """A refusal is no more remembered than a permission; nor is that a key isn't there."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, parts = await it.issue(active=False)
            assert (await it.refused(text)).reason == "disabled"
            await it.change(parts.key_id, active=True)
            assert isinstance(await it.ask(text), Entry)
            assert isinstance(await it.ask(mint()[0].encode()), Rejection)

    asyncio.run(scenario())


def test_a_check_never_uses_a_version_that_was_read_before_it_began() -> None:
    """A trip is under way when the key is revoked: a check that begins afterwards asks anew."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, parts = await it.issue()
            await it.ask(text)
            held, read = asyncio.Event(), it.store.versions

            async def slow(key_ids: list[str]) -> object:
                versions = await read(key_ids)
                await held.wait()
                return versions

            it.store.versions = slow  # type: ignore[assignment,method-assign]  # the answer is on its way
            before = asyncio.create_task(it.directory.identify(text))
            await eventually(lambda: it.store.calls["versions"] > 1)
            await it.change(parts.key_id, active=False, revoked_at=START)
            after = asyncio.create_task(it.directory.identify(text))
            await asyncio.sleep(0)
            held.set()
            early, late = await before, await after
            assert isinstance(early, Entry)
            assert isinstance(late, Entry)
            assert late.refusal(it.clock.now_us()) == "revoked"

    asyncio.run(scenario())


def test_a_load_that_began_before_a_change_is_not_taken_for_the_new_state() -> None:
    """The record was read, then it changed: whoever has seen the new version reads again."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, parts = await it.issue()
            it.store.held = asyncio.Event()
            before = asyncio.create_task(it.directory.identify(text))
            await eventually(lambda: it.store.calls["get"] == 1)
            held, it.store.held = it.store.held, None
            await it.change(parts.key_id, active=False, revoked_at=START)
            after = asyncio.create_task(it.directory.identify(text))
            await eventually(lambda: it.store.calls["versions"] == 2)
            held.set()
            assert await after == Rejection("revoked", parts.key_id)
            await before

    asyncio.run(scenario())


def test_a_record_that_was_purged_and_restored_is_the_restored_one() -> None:
    """Its version is lower than what this server knew; it is read all the same."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, parts = await it.issue()
            before = await it.store.get(parts.key_id)
            assert before is not None
            for number in range(3):
                await it.change(parts.key_id, name=f"name {number}")
            assert isinstance(await it.ask(text), Entry)
            del it.store._stored[parts.key_id]
            await it.store.add(replace(before, active=False, version=2), entry(parts.key_id))
            found = await it.ask(text)
            assert isinstance(found, Entry)
            assert found.refusal(it.clock.now_us()) == "disabled"

    asyncio.run(scenario())


def test_many_keys_and_a_small_cache_are_no_fault() -> None:
    """What a load has read is used, whether or not there is room to keep it."""

    async def scenario() -> None:
        async with rig(is_shared=True, records=2) as it:
            texts = [(await it.issue())[0] for _ in range(3)]
            for text in texts:
                await it.ask(text)
            answers = await asyncio.gather(*(it.ask(text) for text in texts * 10))
            assert all(isinstance(answer, Entry) for answer in answers)

    asyncio.run(scenario())


def test_a_store_that_fails_fails_the_check() -> None:
    """Nobody is let in on the strength of what was known before; all who wait hear of it."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, _ = await it.issue()
            await it.ask(text)
            it.store.failure = StoreError("gone")
            answers = await asyncio.gather(*(it.ask(text) for _ in range(3)), return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreError] * 3
            it.store.failure = None
            assert isinstance(await it.ask(text), Entry)

    asyncio.run(scenario())


def test_one_who_leaves_takes_nobody_along() -> None:
    """Clients that go away while a trip is under way cancel it for nobody."""

    async def scenario() -> None:
        async with rig(is_shared=True) as it:
            text, _ = await it.issue()
            first, second = (asyncio.create_task(it.directory.identify(text)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            assert isinstance(await second, Entry)

    asyncio.run(scenario())
