"""What has all keys found by a search goes on for as long as a server runs."""

from __future__ import annotations

import asyncio

import pytest

from extauth.errors import StoreError
from extauth.keys import searching
from extauth.tasks import end
from tests.fakes import MemoryKeyStore
from tests.waiting import eventually


def test_keys_are_looked_at_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of an earlier version may change some at any time, and a store that fails is asked again."""
    monkeypatch.setattr(searching, "_EVERY_SECONDS", 0)
    store, asked = MemoryKeyStore(), 0

    async def complete() -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreError("gone")
        return 0

    monkeypatch.setattr(store, "complete_search", complete)

    async def scenario() -> None:
        looking = asyncio.create_task(searching.complete_search(store))
        await eventually(lambda: asked > 3)
        await end(looking)

    asyncio.run(scenario())
