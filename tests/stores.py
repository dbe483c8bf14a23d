"""The one table of stores: each conformance test runs on every row; a new store is one more row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from extauth.stores.base import KeyStore
from extauth.stores.limits import BucketArchive, LimitStore
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.sqlite import SqliteKeyStore
from extauth.stores.sqlite_archive import SqliteBucketArchive
from extauth.stores.sqlite_usage import SqliteUsageStore
from extauth.stores.usage import UsageStore
from tests.fake_usage import MemoryUsageStore
from tests.fakes import MemoryArchive, MemoryKeyStore
from tests.redis.limits import Shared, redis_cluster_limits, redis_limits
from tests.redis.server import redis_cluster_keys, redis_keys
from tests.redis.usage import redis_cluster_usage, redis_usage


class _Openable(Protocol):
    async def open(self) -> None: ...

    async def close(self) -> None: ...


Opened = TypeVar("Opened", bound=_Openable)


@asynccontextmanager
async def opened(store: Opened) -> AsyncIterator[Opened]:
    """Open a store, and close it."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def sqlite_keys(folder: Path) -> AbstractAsyncContextManager[SqliteKeyStore]:
    """Open the embedded key store."""
    return opened(SqliteKeyStore(folder / "extauth.db"))


def sqlite_archive(folder: Path) -> AbstractAsyncContextManager[SqliteBucketArchive]:
    """Open the embedded archive of limit buckets."""
    return opened(SqliteBucketArchive(folder / "extauth-limits.db"))


def sqlite_usage(folder: Path) -> AbstractAsyncContextManager[SqliteUsageStore]:
    """Open the embedded store of usage."""
    return opened(SqliteUsageStore(folder / "extauth-usage.db"))


@asynccontextmanager
async def _memory_keys(_folder: Path) -> AsyncIterator[MemoryKeyStore]:
    yield MemoryKeyStore()


@asynccontextmanager
async def _memory_archive(_folder: Path) -> AsyncIterator[MemoryArchive]:
    yield MemoryArchive()


@asynccontextmanager
async def _memory_limits(_folder: Path) -> AsyncIterator[MemoryLimitStore]:
    yield MemoryLimitStore()


@asynccontextmanager
async def _memory_usage(_folder: Path) -> AsyncIterator[MemoryUsageStore]:
    yield MemoryUsageStore()


KEY_STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[KeyStore]]] = {
    "sqlite": sqlite_keys,
    # What the unit tests use must keep the same contract.
    "fake": _memory_keys,
    "redis": redis_keys,
    "redis-cluster": redis_cluster_keys,
}
# Those that need a program beside Python: `make unit` leaves them out.
WITH_SERVERS = frozenset(("redis", "redis-cluster"))
ARCHIVES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[BucketArchive]]] = {
    "sqlite": sqlite_archive,
    "fake": _memory_archive,
}
USAGE_STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[UsageStore]]] = {
    "sqlite": sqlite_usage,
    "fake": _memory_usage,
    "redis": redis_usage,
    "redis-cluster": redis_cluster_usage,
}
LIMIT_STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[LimitStore]]] = {
    "memory": _memory_limits,
}
SHARED_LIMITS: Mapping[str, Callable[[], AbstractAsyncContextManager[Shared]]] = {
    "redis": redis_limits,
    "redis-cluster": redis_cluster_limits,
}


def with_keys(folder: Path, scenario: Callable[[SqliteKeyStore], Awaitable[None]]) -> None:
    """Run a scenario on an embedded key store in the folder."""

    async def run() -> None:
        async with sqlite_keys(folder) as store:
            await scenario(store)

    asyncio.run(run())


def with_shared_limits(row: str, scenario: Callable[[Shared], Awaitable[None]]) -> None:
    """Run a scenario on an empty store of this row, and hold afterwards that all that is left will end."""

    async def run() -> None:
        async with SHARED_LIMITS[row]() as shared:
            await scenario(shared)
            for name in shared.names():
                if name.endswith(":limits"):
                    assert shared.command("PTTL", name) != -1, name
            assert [trouble for trouble in shared.troubles if trouble] == []

    asyncio.run(run())
