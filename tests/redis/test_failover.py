"""Servers of a cluster and masters behind Sentinels hang and are replaced: the store finds the new ones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from extauth.errors import StoreError
from extauth.stores.redis.store import RedisKeyStore
from tests.integration.processes import free_ports, wait_until
from tests.keys import entry, record
from tests.redis.sentinels import running_sentinels
from tests.redis.server import HOST, RedisServer, opened, running, running_cluster

IDS = [f"AAAAbbbb00{number:02}" for number in range(20)]
SHORT = timedelta(milliseconds=300)
_WITHIN_SECONDS = 20.0


async def recovered(store: RedisKeyStore, done: Callable[[RedisKeyStore], object]) -> None:
    """Try until it succeeds; each try ends in time."""
    deadline = time.monotonic() + _WITHIN_SECONDS
    while time.monotonic() < deadline:
        started = time.monotonic()
        with contextlib.suppress(StoreError):
            await done(store)  # type: ignore[misc]  # all that are given are coroutines
            return
        assert time.monotonic() - started < 3
        await asyncio.sleep(0.02)
    raise AssertionError(f"not recovered within {_WITHIN_SECONDS} s")


def _is_copied(master: RedisServer) -> bool:
    """Tell whether the replica has all that the master has."""
    told = master.ask("INFO", "replication")
    offset = told.partition("master_repl_offset:")[2].split()[0]
    return f",offset={offset}," in told


async def _read_all(store: RedisKeyStore) -> None:
    assert list(await store.versions(IDS)) == [1] * len(IDS)


async def _write_all(store: RedisKeyStore) -> None:
    for key_id in IDS:
        version = (await store.versions([key_id]))[0]
        if version < 2:
            await store.save(record(key_id, version=2), entry(key_id, action="key.updated"))


@contextmanager
def _with_replica(folder: Path) -> Iterator[list[RedisServer]]:
    """Run a cluster of three, of which the first has a replica: the fourth."""
    with running_cluster(folder) as servers:
        (bus,) = free_ports(1)
        arguments = [*servers[0].arguments[:-1], str(bus)]
        replica = RedisServer(folder / "replica", arguments)
        with running(replica):
            master = servers[0].ask("CLUSTER", "MYID")
            replica.ask("CLUSTER", "MEET", HOST, servers[0].port, servers[0].arguments[-1])
            wait_until(lambda: master in replica.ask("CLUSTER", "NODES"), within=20, what="the meeting")
            replica.ask("CLUSTER", "REPLICATE", master)
            wait_until(
                lambda: (
                    "master_link_status:up" in replica.ask("INFO", "replication")
                    and all(server.ask("CLUSTER", "NODES").count("slave") == 1 for server in servers)
                ),
                within=20,
                what="the replica",
            )
            yield [*servers, replica]


def test_a_server_of_a_cluster_that_hangs_is_replaced(tmp_path: Path) -> None:
    """Until then each question is answered in time, if only by an error; then the replica is asked."""

    async def scenario() -> None:
        with _with_replica(tmp_path) as servers:
            url = f"redis+cluster://{HOST}:{servers[0].port},{HOST}:{servers[1].port}"
            async with opened(url, timeout=SHORT) as store:
                for key_id in IDS:
                    await store.add(record(key_id), entry(key_id))
                wait_until(lambda: _is_copied(servers[0]), within=20, what="the copies")
                servers[0].child.pause()
                try:
                    await recovered(store, _read_all)
                    await recovered(store, _write_all)
                    await store.repair(left_for_ms=0)
                    assert await store.count() == len(IDS)
                    # Whoever starts now, with the one that hangs first in the list, gets in as well.
                    async with opened(url, timeout=SHORT) as other:
                        assert await other.count() == len(IDS)
                finally:
                    servers[0].child.resume()

    asyncio.run(scenario())


def test_a_master_that_hangs_is_replaced_by_the_sentinels(tmp_path: Path) -> None:
    """The store asks them for each new connection; a service that they don't know is named."""

    async def scenario() -> None:
        with running_sentinels(tmp_path) as (master, replica, url):
            with pytest.raises(StoreError, match=f"Redis other of the Sentinels {HOST}:"):
                async with opened(url.replace("mymaster", "other")):
                    pass
            async with opened(url, timeout=SHORT) as store:
                assert "a failover may lose" in await store.durability()
                for key_id in IDS:
                    await store.add(record(key_id), entry(key_id))
                wait_until(lambda: _is_copied(master), within=20, what="the copies")
                master.child.pause()
                try:
                    await recovered(store, _read_all)
                    await recovered(store, _write_all)
                    assert "role:master" in replica.ask("INFO", "replication")
                    assert await store.count() == len(IDS)
                finally:
                    master.child.resume()

    asyncio.run(scenario())
