"""Requests in flight while Redis hangs, is killed or cuts connections: slots come back, and none twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.redis import slots
from tests.redis.in_flight import LEASE, InFlight, server_on, settled
from tests.redis.server import RedisServer, running
from tests.waiting import eventually

pytestmark = pytest.mark.servers

# With `everysec` Redis puts off what it has answered, for up to two seconds, while the disk is slow.
_DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
Fault = Callable[[RedisServer], None]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a Redis that keeps what it has when it is killed."""
    with running(RedisServer(tmp_path / "redis", _DURABLE)) as server:
        yield server


def _kill(redis: RedisServer) -> None:
    redis.child.kill()


def _restart(redis: RedisServer) -> None:
    redis.child.start()


def _pause(redis: RedisServer) -> None:
    redis.child.pause()


def _resume(redis: RedisServer) -> None:
    redis.child.resume()


FAULTS = {"killed": (_kill, _restart), "hanging": (_pause, _resume)}


async def _is_down(service: InFlight) -> None:
    """Wait until checks are refused because Redis doesn't answer."""
    while (await service.ask("r-down")).code != "store_unavailable":
        pass


async def _is_up(service: InFlight) -> None:
    """Wait until checks are answered again; they leave nothing."""
    while (reply := await service.ask("r-up")).code == "store_unavailable":  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.02)
    if LEASE in reply.headers:
        service.end("r-up", reply.headers[LEASE])


@pytest.mark.parametrize("fault", FAULTS)
def test_reports_that_come_while_redis_is_gone_end_leases_when_it_is_back(
    tmp_path: Path, redis: RedisServer, fault: str
) -> None:
    """With or without a lease, and however often they come: as many slots are free then as were reported."""
    begin, end = FAULTS[fault]

    async def scenario() -> None:
        async with server_on(redis, tmp_path, max=8, ttl="1m") as service:
            leases = [await service.lease(f"r-{number}") for number in range(8)]
            begin(redis)
            service.end("r-0", leases[0])
            await _is_down(service)
            for number in range(4):
                service.end(f"r-{number}", leases[number])
            service.end("r-4")
            end(redis)
            await eventually(lambda: slots.held(redis) == 3, within=10)
            await _is_up(service)
            for number in range(5):
                await service.lease(f"r-later-{number}")
            await settled(service)
            await service.refused("r-more")
            assert slots.held(redis) == 8
            slots.assert_all_end(redis)

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", FAULTS)
def test_what_nobody_reports_ends_by_itself_through_a_fault(
    tmp_path: Path, redis: RedisServer, fault: str
) -> None:
    """A lease is no longer than it was to be, whatever happened to Redis meanwhile; all ends with it."""
    begin, end = FAULTS[fault]

    async def scenario() -> None:
        async with server_on(redis, tmp_path, max=2, ttl="2s") as service:
            loop = asyncio.get_running_loop()
            for number in range(2):
                await service.lease(f"r-{number}")
            last_until = loop.time() + 2
            begin(redis)
            await _is_down(service)
            end(redis)
            await _is_up(service)
            while (await service.ask("r-next")).status != 200:
                assert loop.time() < last_until + 1
            await service.lease("r-last")
            assert loop.time() > last_until - 0.5
            await service.refused("r-more")
            assert slots.held(redis) == 2
            slots.assert_all_end(redis)

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", FAULTS)
def test_whoever_waits_through_a_fault_is_called(tmp_path: Path, redis: RedisServer, fault: str) -> None:
    """Its place is in Redis; what is freed once that is back is its own, well before it has waited enough."""
    begin, end = FAULTS[fault]

    async def scenario() -> None:
        async with server_on(redis, tmp_path, max=1, queue=1, wait="30s") as service:
            lease = await service.lease("r-0")
            waits = service.ask("r-1")
            await service.waits(1)
            begin(redis)
            service.end("r-0", lease)
            await _is_down(service)
            end(redis)
            reply = await asyncio.wait_for(waits, 10)
            assert reply.status == 200
            assert (slots.held(redis), slots.waiting(redis)) == (1, 0)

    asyncio.run(scenario())


def test_what_redis_did_after_all_of_a_check_that_was_refused_is_given_back(
    tmp_path: Path, redis: RedisServer
) -> None:
    """Once it went on again it took slots for a check that was answered before."""

    async def scenario() -> None:
        async with server_on(redis, tmp_path, max=8, ttl="1m") as service:
            redis.child.pause()
            replies = await asyncio.gather(*(service.ask(f"r-{number}") for number in range(4)))
            assert {reply.code for reply in replies} == {"store_unavailable"}
            redis.child.resume()
            await _is_up(service)
            await settled(service)
            await eventually(lambda: slots.held(redis) == 0)

    asyncio.run(scenario())


def test_a_report_that_is_tried_again_frees_nobody_elses_slot(tmp_path: Path, redis: RedisServer) -> None:
    """Redis did it, the answer came too late, somebody else took the slot: that one keeps it."""

    async def scenario() -> None:
        async with server_on(redis, tmp_path, max=1, queue=1, wait="30s") as service:
            lease = await service.lease("r-0")
            waits = service.ask("r-1")
            await service.waits(1)
            redis.child.pause()
            service.end("r-0", lease)
            service.end("r-0")
            await _is_down(service)
            redis.child.resume()
            assert (await asyncio.wait_for(waits, 10)).status == 200
            await settled(service)
            assert slots.held(redis) == 1

    asyncio.run(scenario())


Act = Callable[[InFlight, RedisServer], Awaitable[None]]


async def _cut_calls(service: InFlight, redis: RedisServer) -> None:
    assert redis.ask("CLIENT", "KILL", "TYPE", "pubsub") >= 1
    await asyncio.sleep(0)
    assert service.world.app.leases.waiting == 1


async def _cut_all(_service: InFlight, redis: RedisServer) -> None:
    assert redis.ask("CLIENT", "KILL", "TYPE", "normal") >= 1
    assert redis.ask("CLIENT", "KILL", "TYPE", "pubsub") >= 1


@pytest.mark.parametrize("cut", [_cut_calls, _cut_all], ids=["calls", "all"])
def test_calls_that_were_missed_are_made_up_for(tmp_path: Path, redis: RedisServer, cut: Act) -> None:
    """A slot is freed while nobody hears it: who waits asks when its server is connected again."""

    async def scenario() -> None:
        async with (
            server_on(redis, tmp_path, max=1, queue=1, wait="30s") as waiter,
            server_on(redis, tmp_path, key=waiter.key, max=1, queue=1, wait="30s") as other,
        ):
            lease = await other.lease("r-0")
            waits = waiter.ask("r-1")
            await waiter.waits(1)
            await cut(waiter, redis)
            other.end("r-0", lease)
            assert (await asyncio.wait_for(waits, 5)).status == 200

    asyncio.run(scenario())
