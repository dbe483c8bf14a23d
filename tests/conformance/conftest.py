"""Runs a scenario on a key store of its own, once for each kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from extauth.stores.base import KeyStore
from tests.stores import KEY_STORES, WITH_SERVERS

Run = Callable[[Callable[[KeyStore], Awaitable[None]]], None]


_ROWS = [
    pytest.param(name, marks=[pytest.mark.servers] if name in WITH_SERVERS else []) for name in KEY_STORES
]


@pytest.fixture(params=_ROWS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario."""

    def run_scenario(scenario: Callable[[KeyStore], Awaitable[None]]) -> None:
        async def with_store() -> None:
            async with KEY_STORES[request.param](tmp_path) as store:
                await scenario(store)

        asyncio.run(with_store())

    return run_scenario
