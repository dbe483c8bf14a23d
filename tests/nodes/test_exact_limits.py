"""Three limits at once, four workers, 64 clients: what clients count as admitted is what the limits give.

Never more than capacity plus refill, and not one less than what was free. The same on every store.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.redis.server import RedisServer, cluster_url, running, running_cluster

from .client import Client
from .fleet import Fleet
from .node import Node

CLIENTS = 64
WORKERS = 4
FLOOD_SECONDS = 4.0
# Admitted one after the other before the flood. The user's limit takes 0.75 s to refill them, so it isn't
# full again before the flood has begun, however slowly the workers verify the keys: that would lose refill.
BEFORE = 30
# By name: capacity, and refill in requests a second. The user's limit is the one that refuses in the end.
LIMITS = {"key-minute": (900, 600 / 60), "user-second": (60, 40.0), "all-second": (700, 500.0)}
TIERS = {
    "default": {
        "rates": [
            {"rate": "600/minute burst 900", "name": "key-minute"},
            {"rate": "40/second burst 60", "name": "user-second", "per": "user"},
        ]
    }
}
SECTIONS: dict[str, Any] = {
    "tiers": TIERS,
    "limits": {"rates": [{"rate": "500/second burst 700", "name": "all-second"}]},
    # A machine that runs tests is slow now and then, which is no matter here.
    "failure": {"deadline": "5s"},
}


class Flood(NamedTuple):
    """What came of it: admitted by key, from the beginning to the end."""

    admitted: Counter[str]
    began: float
    # When all were admitted of those that came before the flood.
    flooded_from: float
    ended: float
    # When the very last request was sent, and by which limits it was refused.
    refused_at: float
    refused_by: tuple[str, ...]


async def begin(port: int, key: str) -> None:
    """Ask for another user until the store has answered each worker: what fails before that is no matter."""
    deadline = time.monotonic() + 20
    in_a_row = 0
    while in_a_row < WORKERS * 2:
        client = Client(port, key)
        await client.open()
        in_a_row = in_a_row + 1 if (await client.ask()).status == 200 else 0
        client.close()
        assert time.monotonic() < deadline


async def flood(port: int, keys: list[str]) -> Flood:
    """Ask one after the other, then as fast as it goes, then one after the other until one is refused."""
    clients = [(Client(port, key), key) for key in (keys * CLIENTS)[:CLIENTS]]
    for client, _ in clients:
        await client.open()
    admitted: Counter[str] = Counter()
    began = time.time()
    for _ in range(BEFORE):
        assert (await clients[0][0].ask()).status == 200
        admitted[keys[0]] += 1
    flooded_from = time.time()
    until = time.monotonic() + FLOOD_SECONDS

    async def go_on(client: Client, key: str) -> None:
        while time.monotonic() < until:
            answer = await client.ask()
            assert answer.status in {200, 429}
            admitted[key] += answer.status == 200

    await asyncio.gather(*(go_on(client, key) for client, key in clients))
    while True:
        refused_at = time.time()
        answer = await clients[0][0].ask()
        if answer.status != 200:
            break
        admitted[keys[0]] += 1
    for client, _ in clients:
        client.close()
    return Flood(admitted, began, flooded_from, time.time(), refused_at, answer.violated)


@contextmanager
def embedded(folder: Path) -> Iterator[Node]:
    """Run one process on the embedded store, which holds no more."""
    node = Node(folder / "node", store_url=f"sqlite:///{folder / 'extauth.db'}", **SECTIONS)
    with _serving(node, lambda: True):
        yield node


@contextmanager
def on_redis(folder: Path) -> Iterator[Node]:
    """Run four workers on one Redis."""
    with running(RedisServer(folder / "redis")) as redis:
        fleet = Fleet(folder / "node", store_url=redis.url, **SECTIONS)
        with _serving(fleet, fleet.serving):
            yield fleet


@contextmanager
def on_cluster(folder: Path) -> Iterator[Node]:
    """Run four workers on a cluster of three, where the limits are in different slots."""
    with running_cluster(folder / "cluster") as servers:
        fleet = Fleet(folder / "node", store_url=cluster_url(servers), **SECTIONS)
        with _serving(fleet, fleet.serving):
            yield fleet


@contextmanager
def _serving(node: Node, is_ready: Callable[[], bool]) -> Iterator[None]:
    node.child.start()
    try:
        deadline = time.monotonic() + 20
        while not is_ready():
            assert time.monotonic() < deadline
        yield
    finally:
        node.close()
        node.child.stop()


STORES: dict[str, Callable[[Path], AbstractContextManager[Node]]] = {
    "embedded": embedded,
    "redis": on_redis,
    "cluster": on_cluster,
}


@pytest.mark.parametrize("store", STORES)
def test_what_is_admitted_is_what_the_limits_give(store: str, tmp_path: Path) -> None:
    """Not one request more than capacity plus refill of each limit, nor one less than the spent one gave."""
    with STORES[store](tmp_path) as node:
        keys = [str(node.create_key(user_id="user-1")["key"]) for _ in range(2)]
        asyncio.run(begin(node.check_port, str(node.create_key(user_id="user-2")["key"])))
        flooded = asyncio.run(flood(node.check_port, keys))
    total = flooded.admitted.total()
    longest = flooded.ended - flooded.began
    for name, count in (
        ("user-second", total),
        ("all-second", total),
        *(("key-minute", flooded.admitted[key]) for key in keys),
    ):
        capacity, refill = LIMITS[name]
        assert count <= capacity + refill * longest
    assert flooded.refused_by == ("user-second",)
    # It was never full after those before the flood, so all its refill since then was there to be taken.
    capacity, refill = LIMITS["user-second"]
    assert total > capacity + refill * (flooded.refused_at - flooded.flooded_from) - 1
