"""A creation that is asked for twice makes one key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from extauth.errors import ConflictError, InvalidInputError, StoreError, TooManyKeysError
from extauth.keys.asked import Actor, IssuedKey
from extauth.keys.idempotency import ABANDONED, REMEMBERED, RepeatableCreation
from extauth.model import ApiKey
from tests.managing import BY, Rig, new_key
from tests.managing import run as run_with_rig


def run(scenario: Callable[[Rig, RepeatableCreation], Awaitable[None]], **policy: Any) -> None:
    """Run a scenario with a rig."""

    async def with_creation(it: Rig) -> None:
        await scenario(it, RepeatableCreation(it.service, it.store, it.clock))

    run_with_rig(with_creation, **policy)


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


def test_a_refused_creation_holds_no_name() -> None:
    """Once the user has room for a key it may be made under the same name, at once, or another instead."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        first = (await it.service.create(new_key(), BY)).record
        for wanted in (new_key(), new_key(), new_key(name="another")):
            with pytest.raises(TooManyKeysError):
                await creation.create(wanted, BY, "order-1")
        await it.service.revoke(first.key_id, BY)
        assert isinstance(await creation.create(new_key(), BY, "order-1"), IssuedKey)

    run(scenario, keys_per_user=1)


def test_a_refusal_stays_the_answer_where_the_name_can_not_be_given_back() -> None:
    """The store may be gone by then; the name is free once the claim is old."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        await it.service.create(new_key(), BY)

        async def fails(*_arguments: object, **_named: object) -> None:
            raise StoreError("gone")

        it.store.release = fails  # type: ignore[method-assign]  # the store dies behind the refusal
        with pytest.raises(TooManyKeysError):
            await creation.create(new_key(), BY, "order-1")

    run(scenario, keys_per_user=1)


def test_a_name_that_was_taken_over_is_not_given_back() -> None:
    """Whoever was so slow that they were given up for dead doesn't free the name of who came after."""

    async def scenario(it: Rig, creation: RepeatableCreation) -> None:
        add = it.store.add
        claimed, going_on = asyncio.Event(), asyncio.Event()

        async def slow(*_arguments: object, **_named: object) -> None:
            it.store.add = add  # type: ignore[method-assign]  # the next one is quick
            claimed.set()
            await going_on.wait()
            raise TooManyKeysError("too many")

        it.store.add = slow  # type: ignore[method-assign]  # see above
        first = asyncio.create_task(creation.create(new_key(), BY, "order-1"))
        await claimed.wait()
        it.clock.advance(seconds=int(ABANDONED.total_seconds()) + 1)
        made = await creation.create(new_key(), BY, "order-1")
        going_on.set()
        with pytest.raises(TooManyKeysError):
            await first
        assert isinstance(made, IssuedKey)
        again = await creation.create(new_key(), BY, "order-1")
        assert isinstance(again, ApiKey)
        assert again.key_id == made.record.key_id

    run(scenario)


@pytest.mark.parametrize("name", ["", "x" * 256, "two\nlines"])
def test_a_name_must_be_one(name: str) -> None:
    """Told at its header."""

    async def scenario(_it: Rig, creation: RepeatableCreation) -> None:
        with pytest.raises(InvalidInputError) as caught:
            await creation.create(new_key(), BY, name)
        assert caught.value.mistakes[0][0] == "Idempotency-Key"

    run(scenario)
