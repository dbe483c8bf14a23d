"""What could not be read of a request keeps the key service from doing anything, and from nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from extauth.errors import InvalidInputError
from extauth.keys.asked import Actor, KeyChange, Misread
from extauth.keys.idempotency import RepeatableCreation
from tests.managing import BY, Rig, new_key, rig

# A place that the service doesn't know, in a field that it knows; and what stands in for it.
MISREAD = Misread((("/name", "must be text"),), frozenset({"name"}))
LOST = {"number": 2.0**64}
NOBODY = Actor(name="nobody", source="192.0.2.9", scopes=())


async def told(work: Awaitable[object]) -> list[str]:
    """Return the fields that the work is refused for."""
    with pytest.raises(InvalidInputError) as caught:
        await work
    return [field for field, _ in caught.value.mistakes]


def run(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    """Run a scenario with a service."""

    async def opened() -> None:
        async with rig() as it:
            await scenario(it)

    asyncio.run(opened())


def test_a_creation_is_refused_with_all_that_is_wrong() -> None:
    """Numbers that lost digits among it; nothing is made, under no idempotency key either."""

    async def scenario(it: Rig) -> None:
        wanted = new_key(name="", tier="gold", metadata=LOST)
        expected = ["/name", "metadata", "tier"]
        assert await told(it.service.create(wanted, BY, misread=MISREAD)) == expected
        repeatable = RepeatableCreation(it.service, it.store, it.clock)
        assert await told(repeatable.create(wanted, BY, "a name", misread=MISREAD)) == expected
        assert await told(repeatable.create(new_key(), BY, "a name", misread=MISREAD)) == ["/name"]
        assert await it.store.count() == 0

    run(scenario)


def test_a_change_is_refused_with_all_that_is_wrong() -> None:
    """Also where it would change nothing, and where the key can't be changed at all."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(), BY)).record

        async def fields(change: KeyChange) -> list[str]:
            return await told(it.service.update(made.key_id, change, BY, misread=MISREAD))

        assert await fields(KeyChange(tier=made.tier)) == ["/name"]
        assert await fields(KeyChange()) == ["/name"]
        assert await fields(KeyChange(tier="gold", metadata=LOST)) == ["/name", "metadata", "tier"]
        await it.service.revoke(made.key_id, BY)
        assert await fields(KeyChange(tier="gold")) == ["/name", ""]
        assert (await it.service.get(made.key_id)).version == 2

    run(scenario)


def test_an_end_is_refused_with_all_that_is_wrong() -> None:
    """Neither a revocation nor a rotation is done by half."""

    async def scenario(it: Rig) -> None:
        made = (await it.service.create(new_key(scopes=("a:b",)), BY)).record
        assert await told(it.service.revoke(made.key_id, BY, misread=MISREAD)) == ["/name"]
        assert await told(it.service.rotate(made.key_id, NOBODY, misread=MISREAD)) == ["/name", "scopes"]
        kept = await it.service.get(made.key_id)
        assert (kept.version, kept.revoked_at, kept.rotated_to) == (1, None, None)

    run(scenario)
