"""A worker that is killed with requests in flight and others waiting: the rest of the server goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis import slots
from tests.redis.server import RedisServer
from tests.waiting import eventually

from .fleet import PATIENCE, Fleet, served
from .in_flight import Told, key_in_use, one_of_each, report

WAIT = 1.5
LIMIT = {"max": 1, "queue": 4, "wait": f"{WAIT * 1_000:.0f}ms"}
# For the worker to be asked, and for Redis.
SLACK = 0.5


@pytest.fixture
def fleet(tmp_path: Path, redis: RedisServer) -> Iterator[Fleet]:
    """Give a server of two workers, where a key may have one request in flight."""
    tiers = {"default": {"rates": ["1000/second"], "concurrency": LIMIT}}
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, workers=2, tiers=tiers)) as fleet:
        yield fleet


@pytest.fixture
def key(fleet: Fleet, redis: RedisServer) -> str:
    """Make a key that was used before."""
    return key_in_use(fleet, redis)


def test_what_a_killed_worker_let_in_is_ended_by_another(fleet: Fleet, redis: RedisServer, key: str) -> None:
    """Its leases stay, as a report to another worker ends them; whoever waits there is called for that."""

    async def scenario() -> None:
        async with one_of_each(fleet, key) as (dying, living):
            held = await dying.ask("r-0")
            waits = asyncio.create_task(living.ask("r-1"))
            await eventually(lambda: slots.waiting(redis) == 1)
            await asyncio.to_thread(fleet.kill_worker, dying.worker)
            assert (slots.held(redis), slots.waiting(redis), waits.done()) == (1, 1, False)
            reported = time.monotonic()
            report(fleet, "r-0", held.lease)
            assert (await waits).status == 200
            assert time.monotonic() - reported < SLACK
            report(fleet, "r-1")
            await eventually(lambda: slots.held(redis) == 0)
            slots.assert_all_end(redis)

    asyncio.run(scenario())


def test_who_waited_in_a_killed_worker_holds_up_others_no_longer_than_they_wait(
    fleet: Fleet, redis: RedisServer, key: str
) -> None:
    """Its place is before theirs until its wait is over; their last try comes after that, and succeeds."""

    async def scenario() -> None:
        async with one_of_each(fleet, key) as (dying, living):
            held = await living.ask("r-0")
            forgotten = asyncio.create_task(dying.ask("r-1"))
            await eventually(lambda: slots.waiting(redis) == 1)
            began = time.monotonic()
            waits = asyncio.create_task(living.ask("r-2"))
            await eventually(lambda: slots.waiting(redis) == 2)
            await asyncio.to_thread(fleet.kill_worker, dying.worker)
            assert await forgotten == Told(0, "")
            report(fleet, "r-0", held.lease)
            assert (await waits).status == 200
            assert time.monotonic() - began < WAIT + SLACK
            assert (slots.held(redis), slots.waiting(redis)) == (1, 0)

    asyncio.run(scenario())


def test_who_waits_in_the_worker_that_took_its_place_is_called(
    fleet: Fleet, redis: RedisServer, key: str
) -> None:
    """A new worker hears calls from its first waiter on."""

    async def scenario() -> None:
        old = fleet.process_ids()
        await asyncio.to_thread(fleet.kill_worker, 0)
        await eventually(lambda: fleet.process_ids() != old and fleet.serving(), within=PATIENCE)
        async with one_of_each(fleet, key) as (new, living):
            held = await living.ask("r-0")
            waits = asyncio.create_task(new.ask("r-1"))
            await eventually(lambda: slots.waiting(redis) == 1)
            reported = time.monotonic()
            report(fleet, "r-0", held.lease)
            assert (await waits).status == 200
            assert time.monotonic() - reported < SLACK

    asyncio.run(scenario())


def test_what_was_reported_before_the_server_ended_has_ended(tmp_path: Path, redis: RedisServer) -> None:
    """With its lease or without: no slot stays taken because the server was told to end right after."""
    count = 60
    tiers = {"default": {"rates": ["1000/second"], "concurrency": {"max": count}}}
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, workers=2, tiers=tiers)) as fleet:
        key = str(fleet.create_key()["key"])

        async def fill() -> list[str]:
            async with one_of_each(fleet, key) as connections:
                asked = [(connections[number % 2], number) for number in range(count)]
                return [(await connection.ask(f"r-{number}")).lease for connection, number in asked]

        leases = asyncio.run(fill())
        assert slots.held(redis) == count
        for number, lease in enumerate(leases):
            report(fleet, f"r-{number}", lease if number % 2 else "-")
        os.kill(fleet.supervisor(), signal.SIGTERM)
        assert fleet.exit_code() == 0
        assert slots.held(redis) == 0
