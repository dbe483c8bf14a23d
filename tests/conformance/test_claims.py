"""What every key store keeps about claimed names; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

from extauth.stores.base import Claim, KeyStore
from tests.fakes import START

from .conftest import Run

HOUR = timedelta(hours=1)


def claim(number: int, *, hours: int = 0) -> Claim:
    """Return a claim."""
    return Claim(fingerprint=f"f{number}", key_id=f"AAAAbbbb000{number}", at=START + hours * HOUR)


def test_a_name_is_claimed_once(run: Run) -> None:
    """Of many who ask at once one gets it, and all are told who; after a time it can be had again."""

    async def scenario(store: KeyStore) -> None:
        asking: list[Awaitable[Claim]] = [
            store.claim("name", claim(number), stale_before=START - HOUR) for number in range(9)
        ]
        held = await asyncio.gather(*asking)
        assert len(set(map(_parts, held))) == 1
        assert _parts(held[0]) in {_parts(claim(number)) for number in range(9)}
        assert await store.claim("other", claim(7), stale_before=START - HOUR) == claim(7)
        later = claim(8, hours=30)
        assert await store.claim("name", later, stale_before=START) == held[0]
        assert await store.claim("name", later, stale_before=START + HOUR) == later

    run(scenario)


def _parts(held: Claim) -> tuple[str, str]:
    return held.fingerprint, held.key_id


def test_a_name_is_given_back_by_whoever_has_it(run: Run) -> None:
    """Then the next may have it at once; by nobody else, nor by who had it before."""

    async def scenario(store: KeyStore) -> None:
        await store.release("name", claim(1))
        assert await store.claim("name", claim(1), stale_before=START - HOUR) == claim(1)
        await store.release("name", claim(2))
        await store.release("other", claim(1))
        assert await store.claim("name", claim(2), stale_before=START - HOUR) == claim(1)
        await store.release("name", claim(1))
        assert await store.claim("name", claim(2), stale_before=START - HOUR) == claim(2)
        await store.release("name", claim(1))
        assert await store.claim("name", claim(3), stale_before=START - HOUR) == claim(2)

    run(scenario)


def test_a_claim_can_be_looked_at(run: Run) -> None:
    """Without taking the name: whose it is, or nobody's."""

    async def scenario(store: KeyStore) -> None:
        assert await store.claimed("name") is None
        await store.claim("name", claim(1), stale_before=START - HOUR)
        assert await store.claimed("name") == claim(1)
        assert await store.claimed("other") is None
        await store.release("name", claim(1))
        assert await store.claimed("name") is None

    run(scenario)
