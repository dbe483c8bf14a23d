"""Who is calling: what is remembered, and what costs argon2 or the store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extauth.errors import OverloadedError
from extauth.keys.directory import REJECTED_FOR_US, CacheSizes, Rejection
from tests.directory import Entry, forged, rig, with_wrong_secret
from tests.fakes import START
from tests.keys import mint


def test_a_key_is_recognised_and_then_remembered() -> None:
    """The first time costs one read and one argon2, the next times neither."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = await it.issue()
            assert it.directory.recall(text) is None
            first = await it.directory.identify(text)
            assert isinstance(first, Entry)
            assert first.key.key_id == parts.key_id
            assert all(it.directory.recall(text) is first for _ in range(100))
            assert (it.hasher.verifications, it.store.calls["get"], it.compiled) == (1, 1, 1)

    asyncio.run(scenario())


def test_a_thousand_at_once_run_argon2_once() -> None:
    """All who ask at the same time share one flight, although the pool has room for three; then none runs."""

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue()
            answers = await asyncio.gather(*(it.ask(text) for _ in range(1_000)))
            assert len(set(map(id, answers))) == 1
            assert isinstance(answers[0], Entry)
            await asyncio.gather(*(it.ask(text) for _ in range(1_000)))
            assert (it.hasher.verifications, it.hasher.refusals, it.store.calls["get"]) == (1, 0, 1)

    asyncio.run(scenario())


def test_a_client_that_leaves_does_not_end_the_flight() -> None:
    """The first of those who wait may go away; the others get their answer, and argon2 still ran once."""

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue()
            first, second = (asyncio.create_task(it.directory.identify(text)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            assert isinstance(await second, Entry)
            assert it.hasher.verifications == 1

    asyncio.run(scenario())


def test_forged_keys_reach_neither_argon2_nor_the_store() -> None:
    """A stranger's guesses end at the tag, however many and whatever they look like."""

    async def scenario() -> None:
        async with rig() as it:
            text, _ = await it.issue()
            for guess in (forged(text), b"", b"nonsense", b"\xff" * 70, text + b"0", text[:-1], text.lower()):
                for _ in range(3):
                    assert (await it.refused(guess)).key_id == ""
                    assert isinstance(await it.directory.identify(guess), Rejection)
            assert (it.hasher.verifications, it.store.calls["get"]) == (0, 0)

    asyncio.run(scenario())


def test_a_wrong_secret_with_a_right_tag_runs_argon2_once_a_minute() -> None:
    """Even somebody who has the pepper can't burn argon2 by repeating one key."""

    async def scenario() -> None:
        async with rig() as it:
            _, parts = await it.issue()
            wrong = with_wrong_secret(parts)
            for _ in range(10):
                assert await it.refused(wrong) == Rejection("wrong secret", parts.key_id)
            assert it.hasher.verifications == 1
            it.clock.advance(microseconds=REJECTED_FOR_US)
            assert await it.refused(wrong) == Rejection("wrong secret", parts.key_id)
            assert it.hasher.verifications == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"revoked_at": START, "active": False}, "revoked"),
        ({"active": False}, "disabled"),
        ({"expires_at": START}, "expired"),
    ],
)
def test_a_key_that_may_not_be_used_never_costs_argon2(changes: dict[str, Any], reason: str) -> None:
    """Neither cold nor ever after; and after the first look it costs the store nothing either."""

    async def scenario() -> None:
        async with rig() as it:
            text, parts = await it.issue(**changes)
            for _ in range(10):
                assert await it.refused(text) == Rejection(reason, parts.key_id)
            assert (it.hasher.verifications, it.store.calls["get"]) == (0, 1)

    asyncio.run(scenario())


def test_more_new_keys_at_once_than_there_is_room_for_are_put_off() -> None:
    """Ten keys, room for three: seven are told to come again, none is called invalid, and then all get in."""

    async def scenario() -> None:
        async with rig() as it:
            texts = [(await it.issue())[0] for _ in range(10)]
            answers = await asyncio.gather(*map(it.directory.identify, texts), return_exceptions=True)
            assert (
                sorted(type(answer).__name__ for answer in answers) == ["Entry"] * 3 + ["OverloadedError"] * 7
            )
            for text in texts:
                assert isinstance(await it.ask(text), Entry)
            assert it.hasher.verifications == 10
            assert not any(
                isinstance(answer, OverloadedError)
                for answer in [it.directory.recall(text) for text in texts]
            )

    asyncio.run(scenario())


def test_caches_stay_within_their_sizes() -> None:
    """However many keys come, right, wrong or unknown; and who was forgotten is recognised again."""

    async def scenario() -> None:
        async with rig(sizes=CacheSizes(verified=4, rejected=8), records=6) as it:
            issued = [await it.issue() for _ in range(12)]
            for text, parts in issued:
                assert isinstance(await it.ask(text), Entry)
                await it.refused(with_wrong_secret(parts))
                await it.refused(mint()[0].encode())
                for _ in range(3):
                    await it.refused(forged(text))
            assert it.directory._verified.held <= 2 * 4
            assert it.records.held <= 2 * 6
            assert it.directory._rejected.held <= 2 * 8
            assert it.directory._flights == {}
            assert isinstance(await it.ask(issued[0][0]), Entry)

    asyncio.run(scenario())


def test_what_is_remembered_of_a_secret_authenticates_nobody() -> None:
    """The caches hold a MAC under a secret of this process, never the key's text or a plain hash of it."""

    async def scenario() -> None:
        async with rig() as it, rig() as other:
            text, parts = await it.issue()
            await it.ask(text)
            await it.refused(with_wrong_secret(parts))
            remembered = repr((dict(it.directory._verified), dict(it.directory._rejected)))
            assert parts.secret not in remembered
            assert it.directory._digest(text) != other.directory._digest(text)

    asyncio.run(scenario())
