"""Keys of other systems, and keys whose pepper was lost: recognised if asked for, and never at any price."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from extauth.errors import InvalidInputError, OverloadedError
from extauth.keys.directory import UNTAGGED_FAILURES, Rejection
from extauth.keys.foreign import ForeignKey, foreign_ids
from extauth.keys.token import Peppers
from tests.directory import Entry, Rig, forged, rig
from tests.keys import PEPPER, PEPPERS, entry, mint, record

TEXT = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
OTHER_PEPPER = "another pepper of the tests, as long as needed"


async def adopt(it: Rig, foreign: ForeignKey, **changes: object) -> str:
    """Put a key of another system in the store; return its id."""
    parts = foreign.parts(PEPPERS)
    hashed = await it.hasher.hash(foreign.secret)
    key = replace(record(parts.key_id, hashed_key=hashed, imported=True), **changes)  # type: ignore[arg-type]  # fields by name
    await it.store.add(key, entry(parts.key_id))
    return parts.key_id


@pytest.mark.parametrize(
    "foreign",
    [ForeignKey.from_text(TEXT), ForeignKey.from_sha256(hashlib.sha256(TEXT.encode()).hexdigest().upper())],
)
def test_a_foreign_key_works_as_it_is(foreign: ForeignKey) -> None:
    """Whether it came as text or as SHA-256; argon2 runs once."""

    async def scenario() -> None:
        async with rig(imported=True) as it:
            key_id = await adopt(it, foreign)
            for _ in range(5):
                found = await it.ask(TEXT.encode())
                assert isinstance(found, Entry)
                assert found.key.key_id == key_id
            assert it.hasher.verifications == 1
            assert isinstance(await it.ask(TEXT.encode() + b"x"), Rejection)

    asyncio.run(scenario())


def test_without_the_setting_foreign_texts_cost_nothing() -> None:
    """No look into the store, no argon2."""

    async def scenario() -> None:
        async with rig() as it:
            await adopt(it, ForeignKey.from_text(TEXT))
            it.store.calls.clear()
            assert await it.refused(TEXT.encode()) == Rejection("malformed")
            assert it.store.calls == {}
            assert it.hasher.verifications == 0

    asyncio.run(scenario())


def test_unknown_foreign_texts_reach_the_store_once_and_argon2_never() -> None:
    """Repeated at once they cost nothing; a moment later a key that was taken in meanwhile is found."""

    async def scenario() -> None:
        async with rig(imported=True) as it:
            for _ in range(5):
                assert (await it.refused(TEXT.encode())).reason == "unknown key"
            assert it.store.calls["get"] == 1
            await adopt(it, ForeignKey.from_text(TEXT))
            it.records.forget_all()  # as the watcher has it done
            it.clock.advance(seconds=3)
            assert isinstance(await it.ask(TEXT.encode()), Entry)
            for junk in (b"", b"short", b"x" * 600, b"with space in it, and", b"\xff" * 30):
                assert await it.refused(junk) == Rejection("malformed")
            assert it.hasher.verifications == 1

    asyncio.run(scenario())


def test_a_foreign_key_ends_like_any_other() -> None:
    """Revoked, it is refused before argon2."""

    async def scenario() -> None:
        async with rig(imported=True) as it:
            key_id = await adopt(it, ForeignKey.from_text(TEXT), active=False)
            assert await it.refused(TEXT.encode()) == Rejection("disabled", key_id)
            assert it.hasher.verifications == 0

    asyncio.run(scenario())


def test_another_extauths_key_can_be_taken_in() -> None:
    """It looks like one of ours, but its tag is another pepper's."""

    async def scenario() -> None:
        async with rig(imported=True) as it:
            text, _ = mint(Peppers([OTHER_PEPPER]))
            assert isinstance(await it.ask(text.encode()), Rejection)
            await adopt(it, ForeignKey.from_text(text))
            it.records.forget_all()
            it.clock.advance(seconds=3)
            assert isinstance(await it.ask(text.encode()), Entry)

    asyncio.run(scenario())


def test_ids_of_foreign_keys_depend_on_the_pepper_and_tell_nothing() -> None:
    """One for each pepper, newest first, all different; the text can't be searched for without a pepper."""
    both = foreign_ids("secret", Peppers([OTHER_PEPPER, PEPPER]))
    assert both == [*foreign_ids("secret", Peppers([OTHER_PEPPER])), *foreign_ids("secret", PEPPERS)]
    assert len({*both, *foreign_ids("other", PEPPERS)}) == 3
    assert all(len(key_id) == 12 and key_id.isalnum() for key_id in both)


@pytest.mark.parametrize("text", ["", "short", "x" * 513, "a b" * 9, "a,b" * 9, "é" * 20, "a\n" * 10])
def test_what_can_be_no_key_is_not_taken_in(text: str) -> None:
    """It could never arrive in a header, or be guessed."""
    with pytest.raises(InvalidInputError) as caught:
        ForeignKey.from_text(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("digest", ["", "0" * 63, "g" * 64, "0" * 65])
def test_what_is_no_digest_is_not_taken_in(digest: str) -> None:
    """Another algorithm's, or cut off."""
    with pytest.raises(InvalidInputError):
        ForeignKey.from_sha256(digest)


def test_no_representation_shows_a_foreign_key() -> None:
    """Its last four characters at most."""
    foreign = ForeignKey.from_text(TEXT)
    assert repr(foreign) == "ForeignKey(…p7dc)"
    assert TEXT not in str([foreign])


def test_a_lost_pepper_can_be_survived() -> None:
    """With the setting, keys that no pepper fits reach argon2, once each; without it they are refused."""

    async def scenario() -> None:
        for untagged in (True, False):
            async with rig(untagged=untagged) as it:
                text, parts = mint(Peppers([OTHER_PEPPER]))
                hashed = await it.hasher.hash(parts.secret)
                await it.store.add(record(parts.key_id, hashed_key=hashed), entry(parts.key_id))
                if not untagged:
                    assert await it.refused(text.encode()) == Rejection("tag does not fit")
                    continue
                for _ in range(4):
                    assert isinstance(await it.ask(text.encode()), Entry)
                assert it.hasher.verifications == 1
                assert it.verified == [parts.key_id]

    asyncio.run(scenario())


def test_guesses_at_untagged_keys_are_bounded() -> None:
    """So many may fail, then all are put off; holders who are known go on; later there is room again."""

    async def scenario() -> None:
        async with rig(untagged=True) as it:
            text, parts = await it.issue()
            assert isinstance(await it.ask(text), Entry)
            guesses = [
                forged(text)[:-8] + f"{number:08}".encode()
                for number in range(UNTAGGED_FAILURES.capacity + 5)
            ]
            answers = [await asyncio.gather(it.ask(guess), return_exceptions=True) for guess in guesses]
            kinds = [type(answer).__name__ for (answer,) in answers]
            assert kinds == ["Rejection"] * UNTAGGED_FAILURES.capacity + ["OverloadedError"] * 5
            (refused,) = answers[-1]
            assert isinstance(refused, OverloadedError)
            assert refused.retry_after == 2
            assert it.hasher.verifications == 1 + UNTAGGED_FAILURES.capacity
            assert isinstance(await it.ask(text), Entry)
            it.clock.advance(seconds=2)
            assert await it.refused(guesses[-1]) == Rejection("wrong secret", parts.key_id)

    asyncio.run(scenario())
