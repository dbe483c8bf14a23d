"""A worker that stands still with requests in flight and others waiting: the rest of the server goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis import slots
from tests.redis.server import RedisServer
from tests.waiting import eventually

from .fleet import PATIENCE, Fleet, served
from .in_flight import Checks, Told, key_in_use, one_of_each, report
from .node import HOST

WORKERS = 4
MOST = 3
WAIT = 1.5
TTL = 5.0
LIMIT = {"max": MOST, "queue": 8, "wait": f"{WAIT * 1_000:.0f}ms", "ttl": f"{TTL:.0f}s"}


@pytest.fixture
def fleet(tmp_path: Path, redis: RedisServer) -> Iterator[Fleet]:
    """Give a server of four workers, where a key may have some requests in flight."""
    tiers = {"default": {"rates": ["1000/second"], "concurrency": LIMIT}}
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, workers=WORKERS, tiers=tiers)) as fleet:
        yield fleet


@pytest.fixture
def key(fleet: Fleet, redis: RedisServer) -> str:
    """Make a key that was used before."""
    return key_in_use(fleet, redis)


@contextmanager
def hanging(fleet: Fleet, worker: int) -> Iterator[None]:
    """Have a worker stand still in the meantime."""
    process_id = fleet.process_ids()[worker]
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


async def free(connection: Checks) -> int:
    """Ask at once for one slot more than there are, and return for how many there was room. They wait."""
    found = 0
    for number in range(MOST + 1):
        found += (await connection.ask(f"r-free-{number}")).status == 200
    return found


def test_what_a_hanging_worker_let_in_is_ended_by_others(fleet: Fleet, redis: RedisServer, key: str) -> None:
    """Its leases are reported elsewhere or expire; then as many slots are free as ever, and no more."""

    async def scenario() -> None:
        async with one_of_each(fleet, key) as connections:
            hung, *others = connections
            reported = await hung.ask("r-0")
            began = time.monotonic()
            lost = await hung.ask("r-1")
            assert (reported.status, lost.status, slots.held(redis)) == (200, 200, 2)
            with hanging(fleet, hung.worker):
                own = [await other.ask(f"r-of-{other.worker}") for other in others[:1]]
                assert own[0].status == 200
                # All are taken; each of the others is told to wait, until there is a slot.
                waits = [asyncio.create_task(other.ask(f"w-{other.worker}")) for other in others]
                await eventually(lambda: slots.waiting(redis) == len(others))
                for _ in range(2):
                    report(fleet, "r-0", reported.lease)
                await eventually(lambda: slots.waiting(redis) == len(others) - 1)
                assert slots.held(redis) == MOST
                report(fleet, f"r-of-{others[0].worker}", own[0].lease)
                await eventually(lambda: slots.waiting(redis) == len(others) - 2)
                assert slots.held(redis) == MOST
                told = await asyncio.gather(*waits)
                assert sorted(one.status for one in told) == [200, 200, 429]
                for other, one in zip(others, told, strict=True):
                    report(fleet, f"w-{other.worker}", one.lease or "-")
                await eventually(lambda: slots.held(redis) == 0, within=TTL + PATIENCE)
                # Nobody reported that one, so it has ended by itself, and not before.
                assert time.monotonic() - began >= TTL
                assert await free(others[0]) == MOST
            slots.assert_all_end(redis)

    asyncio.run(scenario())


def test_who_waits_in_a_hanging_worker_holds_up_others_no_longer_than_it_would_wait(
    fleet: Fleet, redis: RedisServer, key: str
) -> None:
    """Its place goes to the next when its wait is over; when it goes on it finds that, and takes nothing."""

    async def scenario() -> None:
        async with one_of_each(fleet, key) as connections:
            hung, living, *_ = connections
            held = [await living.ask(f"r-{number}") for number in range(MOST)]
            first = asyncio.create_task(hung.ask("w-hung"))
            await eventually(lambda: slots.waiting(redis) == 1)
            with hanging(fleet, hung.worker):
                second = asyncio.create_task(living.ask("w-living"))
                await eventually(lambda: slots.waiting(redis) == 2)
                report(fleet, "r-0", held[0].lease)
                assert (await second).status == 200
                assert (slots.held(redis), slots.waiting(redis), first.done()) == (MOST, 0, False)
            assert (await first).status == 429
            assert slots.held(redis) == MOST
            for number, one in enumerate(held[1:], 1):
                report(fleet, f"r-{number}", one.lease)
            report(fleet, "w-living", (await second).lease)
            await eventually(lambda: slots.held(redis) == 0)
            assert await free(hung) == MOST
            slots.assert_all_end(redis)

    asyncio.run(scenario())


def who_has(fleet: Fleet, connection: socket.socket) -> int:
    """Return the process id of the worker that has the other end of a connection: see proc(5), /proc/net."""
    ends = [f"{port:04X}" for _, port in (connection.getpeername(), connection.getsockname())]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = (row[9] for row in rows if [row[1][-4:], row[2][-4:]] == ends)
    (found,) = (
        process_id
        for process_id in fleet.process_ids()
        if f"socket:[{inode}]" in {str(link.readlink()) for link in Path(f"/proc/{process_id}/fd").iterdir()}
    )
    return found


def test_a_report_that_lies_unread_in_a_worker_is_waited_for(tmp_path: Path, redis: RedisServer) -> None:
    """Its client's next request is not refused for want of a slot, as others see who stands still."""
    tiers = {"default": {"rates": ["1000/second"], "concurrency": {"max": 1}}}
    with served(Fleet(tmp_path / "graces", store_url=redis.url, workers=WORKERS, tiers=tiers)) as fleet:
        key = key_in_use(fleet, redis)

        async def scenario() -> None:
            async with one_of_each(fleet, key) as connections:
                with socket.create_connection((HOST, fleet.completion_port)) as proxy:
                    tell(proxy, "r-nobody", "")
                    reader = who_has(fleet, proxy)
                    (other, *_) = (one for one in connections if fleet.process_ids()[one.worker] != reader)
                    held = await other.ask("r-0")
                    os.kill(reader, signal.SIGSTOP)
                    try:
                        send(proxy, "r-0", held.lease)
                        told = asyncio.create_task(other.ask("r-1"))
                        # It has begun to wait once more when its place in the queue ends later.
                        first = await ends_at(redis, told)
                        while await ends_at(redis, told) == first:
                            pass
                    finally:
                        os.kill(reader, signal.SIGCONT)
                    assert (await told).status == 200

        asyncio.run(scenario())


def send(proxy: socket.socket, request_id: str, lease: str) -> None:
    """Report over HTTP."""
    body = f"rid={request_id} lease={lease or '-'}".encode()
    head = f"POST /done HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    proxy.sendall(head.encode() + body)


def tell(proxy: socket.socket, request_id: str, lease: str) -> None:
    """Report, and read the answer."""
    send(proxy, request_id, lease)
    assert proxy.recv(4_096).startswith(b"HTTP/1.1 204")


async def ends_at(redis: RedisServer, told: asyncio.Task[Told]) -> str:
    """Return when the one wait that there is ends, once there is one, as long as nothing was told."""
    while not told.done():
        for name in redis.ask("KEYS", "*:slots:*:until"):
            if found := redis.ask("ZRANGE", name, 0, -1, "WITHSCORES"):
                return str(found[1])
        await asyncio.sleep(0)
    raise AssertionError(f"told too early: {told.result()}")
