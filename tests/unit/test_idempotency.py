"""A creation that is asked for twice makes one key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from extauth.errors import ConflictError, InvalidInputError, StoreError
from extauth.keys.asked import Actor, IssuedKey
from extauth.keys.idempotency import ABANDONED, REMEMBERED, RepeatableCreation
from extauth.model import ApiKey
from tests.managing import BY, Rig, new_key, rig


def run(scenario: Callable[[Rig, RepeatableCreation], Awaitable[None]]) -> None:
    """Run a scenario with a rig."""

    async def with_rig() -> None:
        async with rig() as it:
            await scenario(it, RepeatableCreation(it.service, it.store, it.clock))

    asyncio.run(with_rig())


def test_the_same_request_makes_one_key() -> None:
    """The first answer has the secret, all others the record alone."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        first = await creation.create(new_key(), BY, "order-1")
        assert isinstance(first, IssuedKey)
        for _ in range(3):
            again = await creation.create(new_key(), BY, "order-1")
            assert isinstance(again, ApiKey)
            assert again.key_id == first.record.key_id
        assert await it.store.count() == 1

    run(scenario)


def test_another_name_another_caller_or_another_day_makes_another_key() -> None:
    """Names are the caller's own, and are forgotten after a day."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        await creation.create(new_key(), BY, "order-1")
        await creation.create(new_key(), BY, "order-2")
        await creation.create(new_key(), Actor(name="another", source="x"), "order-1")
        it.clock.advance(seconds=int(REMEMBERED.total_seconds()) + 1)
        assert isinstance(await creation.create(new_key(), BY, "order-1"), IssuedKey)
        assert await it.store.count() == 4

    run(scenario)


def test_another_request_under_the_name_is_refused() -> None:
    """The client has mixed two requests up."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        await creation.create(new_key(), BY, "order-1")
        with pytest.raises(InvalidInputError, match="another request"):
            await creation.create(new_key(name="other"), BY, "order-1")
        assert await it.store.count() == 1

    run(scenario)


def test_of_many_at_once_one_makes_the_key() -> None:
    """The others get its record, or are told that it is under way."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        asking = (creation.create(new_key(), BY, "order-1") for _ in range(6))
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert sum(isinstance(answer, IssuedKey) for answer in answers) == 1
        assert all(isinstance(answer, IssuedKey | ApiKey | ConflictError) for answer in answers)
        assert await it.store.count() == 1

    run(scenario)


def test_a_creation_that_died_can_be_made_again() -> None:
    """Not at once, because it may still be under way; after a while it is."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        add = it.store.add

        async def fails(*_arguments: object, **_named: object) -> None:
            raise StoreError("gone")

        it.store.add = fails  # type: ignore[method-assign]  # the store dies between the claim and the record
        with pytest.raises(StoreError):
            await creation.create(new_key(), BY, "order-1")
        it.store.add = add  # type: ignore[method-assign]  # and is back
        with pytest.raises(ConflictError, match="under way"):
            await creation.create(new_key(), BY, "order-1")
        it.clock.advance(seconds=int(ABANDONED.total_seconds()) + 1)
        assert isinstance(await creation.create(new_key(), BY, "order-1"), IssuedKey)

    run(scenario)


def test_a_wrong_request_claims_no_name() -> None:
    """Once it is right it may go under the same name."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        with pytest.raises(InvalidInputError):
            await creation.create(new_key(tier="gold"), BY, "order-1")
        assert isinstance(await creation.create(new_key(), BY, "order-1"), IssuedKey)
        assert await it.store.count() == 1

    run(scenario)


@pytest.mark.parametrize("name", ["", "x" * 256, "two\nlines"])
def test_a_name_must_be_one(name: str) -> None:
    """Told at its header."""

    async def scenario(_it: Rig, creation: RepeatableCreation) -> None:
        with pytest.raises(InvalidInputError) as caught:
            await creation.create(new_key(), BY, name)
        assert caught.value.mistakes[0][0] == "Idempotency-Key"

    run(scenario)
