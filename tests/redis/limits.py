"""Limits that servers share, opened on the Redis servers that all tests of a run share."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from extauth.clock import SystemClock
from extauth.limits.plan import Plan
from extauth.settings.model import StoreSettings
from extauth.stores.limits import SharedLimitStore, Taken, Told
from extauth.stores.redis import layout
from extauth.stores.redis.limits import opening
from extauth.throttle.counts import LeaseCounts
from tests.redis.server import PATIENT, RedisServer, cluster_url, shared_cluster, shared_server

# Between the clock of the servers, which tells the time of day, and that of the loop, which only goes on.
_OTHER_CLOCK_SECONDS = 0.05


class Known(NamedTuple):
    """A record in this version."""

    key_id: str
    version: int


@dataclass
class Shared:
    """A store, the servers behind it, and what it told of trouble."""

    store: SharedLimitStore
    servers: Sequence[RedisServer]
    troubles: list[str] = field(default_factory=list)

    def ask(self, plan: Plan, key_id: str = "", version: int = 0) -> asyncio.Future[Told]:
        """Ask; return what will hold the answer."""
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self.store.ask(plan, Known(key_id, version) if version else None, told.set_result)
        return told

    async def take(self, plan: Plan, key_id: str = "", version: int = 0) -> Taken:
        """Ask, and expect that the store can tell."""
        told = await self.ask(plan, key_id, version)
        assert isinstance(told, Taken), told
        return told

    async def passes_after(self, plan: Plan, retry_us: int) -> None:
        """Ask until it is allowed; an AssertionError if what is asked after the wait is still refused.

        Call it after the answer that told the wait: however long that took, the wait is over then.
        """
        loop = asyncio.get_running_loop()
        passes_at = loop.time() + retry_us / 1e6
        asked_at = loop.time()
        while not (await self.take(plan)).allowed:
            assert asked_at < passes_at + _OTHER_CLOCK_SECONDS
            asked_at = loop.time()

    def at(self, name: str) -> RedisServer:
        """Return the server that has a key."""
        for server in self.servers:
            with contextlib.suppress(RuntimeError):  # MOVED
                server.ask("TYPE", name)
                return server
        raise AssertionError(name)

    def command(self, command: str, name: str, *words: str | int) -> Any:
        """Send a command to the server that has this key."""
        return self.at(name).ask(command, name, *words)

    def put_record(self, key_id: str, version: int) -> None:
        """Have the record of a key be of this version."""
        self.command("HSET", layout.record(key_id), "version", version)

    def names(self) -> list[str]:
        """Return the names of everything that is stored."""
        return sorted(itertools.chain.from_iterable(server.ask("KEYS", "*") for server in self.servers))


@asynccontextmanager
async def redis_limits() -> AsyncIterator[Shared]:
    """Open the limits of an empty Redis."""
    server = shared_server()
    async with _opened(server.url, (server,)) as shared:
        yield shared


@asynccontextmanager
async def redis_cluster_limits(*, deadline: timedelta = PATIENT) -> AsyncIterator[Shared]:
    """Open the limits of an empty cluster."""
    servers = shared_cluster()
    async with _opened(cluster_url(servers), servers, deadline) as shared:
        yield shared


@asynccontextmanager
async def _opened(
    url: str, servers: Sequence[RedisServer], deadline: timedelta = PATIENT
) -> AsyncIterator[Shared]:
    for server in servers:
        server.ask("FLUSHALL")
    troubles: list[str] = []
    store = await opening.open_limit_store(
        StoreSettings(url=url, timeout=PATIENT),
        SystemClock(),
        process="aaaa",
        ends=LeaseCounts(),
        deadline_seconds=deadline.total_seconds(),
        on_change=troubles.append,
    )
    try:
        # While it is opened, some of its servers are connected and others not yet.
        troubles.clear()
        yield Shared(store, servers, troubles)
    finally:
        await store.close()
