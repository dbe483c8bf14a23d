"""A key service with all that it works with, in a test's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from extauth.keys.asked import Actor, KeyPolicy, NewKey
from extauth.keys.hashing import SecretHasher
from extauth.keys.rules import KeyRules
from extauth.keys.service import KeyService
from extauth.settings.routing import parse_own_limits
from tests.fakes import FakeClock, MemoryKeyStore
from tests.keys import CHEAP, PEPPERS

BY = Actor(name="tests", source="192.0.2.9")


class Rig:
    """A service, and what it works with; `policy` is what keys may be."""

    def __init__(self, **policy: Any) -> None:
        self.store = MemoryKeyStore()
        self.hasher = SecretHasher(CHEAP, workers=1)
        self.clock = FakeClock()
        self.service = KeyService(
            store=self.store,
            hasher=self.hasher,
            peppers=PEPPERS,
            clock=self.clock,
            prefix="acme",
            secret_length=43,
            rules=KeyRules(
                tiers=("free", "pro"),
                environments=("live", "test"),
                policy=KeyPolicy(**policy),
                parse_limits=parse_own_limits,
            ),
        )


@asynccontextmanager
async def rig(**policy: Any) -> AsyncIterator[Rig]:
    """Open a rig."""
    made = Rig(**policy)
    try:
        yield made
    finally:
        made.hasher.close()


def run(scenario: Callable[[Rig], Awaitable[None]], **policy: Any) -> None:
    """Run a scenario with a rig."""

    async def with_rig() -> None:
        async with rig(**policy) as it:
            await scenario(it)

    asyncio.run(with_rig())


def new_key(**changes: Any) -> NewKey:
    """Return a request that is fine in all but the changes."""
    return NewKey(**{"user_id": "user-1", "name": "a key", "tier": "free", "environment": "live", **changes})
