"""Usage in a Redis of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from extauth.settings.model import StoreSettings
from extauth.stores.redis.usage import RedisUsageStore
from tests.redis.server import cluster_url, shared_cluster, shared_server


@asynccontextmanager
async def opened_usage(url: str) -> AsyncIterator[RedisUsageStore]:
    """Open a store."""
    store = RedisUsageStore(StoreSettings(url=url))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def redis_usage(_folder: Path) -> AsyncIterator[RedisUsageStore]:
    """Open a store on an empty Redis."""
    server = shared_server()
    server.ask("FLUSHALL")
    async with opened_usage(server.url) as store:
        yield store


@asynccontextmanager
async def redis_cluster_usage(_folder: Path) -> AsyncIterator[RedisUsageStore]:
    """Open a store on an empty cluster."""
    servers = shared_cluster()
    for server in servers:
        server.ask("FLUSHALL")
    async with opened_usage(cluster_url(servers)) as store:
        yield store
