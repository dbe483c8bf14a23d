"""Runs a scenario on a store of its own, once for each kind of store of keys, or of usage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from extauth.stores.base import KeyStore
from extauth.stores.usage import UsageStore
from tests.stores import KEY_STORES, USAGE_STORES, WITH_SERVERS

Store = TypeVar("Store")
Opened = Callable[[Path], AbstractAsyncContextManager[Store]]
Run = Callable[[Callable[[KeyStore], Awaitable[None]]], None]
RunUsage = Callable[[Callable[[UsageStore], Awaitable[None]]], None]


def _rows(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.servers] if name in WITH_SERVERS else []) for name in names]


def _runner(
    stores: Mapping[str, Opened[Store]], name: str, folder: Path
) -> Callable[[Callable[[Store], Awaitable[None]]], None]:
    """Return what runs a scenario on such a store."""

    def run_scenario(scenario: Callable[[Store], Awaitable[None]]) -> None:
        async def with_store() -> None:
            async with stores[name](folder) as store:
                await scenario(store)

        asyncio.run(with_store())

    return run_scenario


@pytest.fixture(params=_rows(KEY_STORES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on a store of keys."""
    return _runner(KEY_STORES, request.param, tmp_path)


@pytest.fixture(params=_rows(USAGE_STORES))
def run_usage(request: pytest.FixtureRequest, tmp_path: Path) -> RunUsage:
    """Give what runs a scenario on a store of usage."""
    return _runner(USAGE_STORES, request.param, tmp_path)
