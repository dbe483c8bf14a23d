"""Usage in a Redis of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from extauth.settings.model import StoreSettings
from extauth.stores.redis.usage import PATIENCE_SECONDS, RedisUsageStore
from tests.redis.server import empty_cluster, empty_server


@asynccontextmanager
async def opened_usage(
    url: str, *, patience_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[RedisUsageStore]:
    """Open a store."""
    store = RedisUsageStore(StoreSettings(url=url), patience_seconds=patience_seconds)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def redis_usage(_folder: Path) -> AbstractAsyncContextManager[RedisUsageStore]:
    """Open a store on an empty Redis."""
    return opened_usage(empty_server())


def redis_cluster_usage(_folder: Path) -> AbstractAsyncContextManager[RedisUsageStore]:
    """Open a store on an empty cluster."""
    return opened_usage(empty_cluster())
