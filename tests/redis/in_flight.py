"""Whole services in this process on one Redis, as several servers: requests in flight, and what is left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from extauth.clock import SystemClock
from tests.conformance.test_in_flight import LEASE, RATE, InFlight
from tests.redis.server import RedisServer
from tests.waiting import eventually
from tests.world import open_world

__all__ = ["LEASE", "InFlight", "server_on", "settled"]


@asynccontextmanager
async def server_on(
    redis: RedisServer,
    folder: Path,
    *,
    key: str = "",
    url: str = "",
    routes: Sequence[dict[str, Any]] = (),
    deadline: str = "100ms",
    **concurrency: Any,
) -> AsyncIterator[InFlight]:
    """Give a server with this limit in its tier, and a key: a new one unless it is given."""
    sections: dict[str, Any] = {
        "store": {"url": url or redis.url, "timeout": "10s"},
        "keys": {"peppers": ["a pepper of these tests, long enough for one"]},
        "tiers": {"default": {"rates": [RATE], "concurrency": concurrency}},
        "failure": {"deadline": deadline},
        **({"routes": [*routes]} if routes else {}),
    }
    async with open_world(folder, clock=SystemClock(), **sections) as world:
        text = key or (await world.create_key()).text
        service = InFlight(world, text, is_embedded=False)
        if not key:
            # A key's first use takes long.
            service.end("r-first", await service.lease("r-first"))
        yield service


async def settled(service: InFlight) -> None:
    """Wait until everything that was reported is done, also what has to be tried again."""
    leases = service.world.app.leases._shared  # type: ignore[attr-defined]  # nothing else tells
    await eventually(lambda: leases._errands.is_idle and leases._ends.is_idle)
