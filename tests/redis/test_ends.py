"""Ends of leases that are told in one call: each slot is freed once, each end counted as what it was."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from extauth.completion.signals import Signal
from tests.redis import slots
from tests.redis.in_flight import InFlight, server_on, settled
from tests.redis.server import RedisServer, cluster_url, shared_cluster, shared_server

pytestmark = pytest.mark.servers

LEASES = 300
PER_ROUTE = {"path": "/shared/**", "auth": "required", "concurrency": {"max": 10_000, "per": "route"}}
STORES = ("redis", "cluster")


def _servers(store: str) -> tuple[list[RedisServer], str]:
    """Give an empty store, and its URL."""
    servers = [shared_server()] if store == "redis" else [*shared_cluster()]
    for server in servers:
        server.ask("FLUSHALL")
    return servers, servers[0].url if store == "redis" else cluster_url(servers)


def _ended(request_id: str, lease: str) -> Signal:
    return Signal(request_id, lease, progress=False)


async def _let_in(service: InFlight) -> list[tuple[str, str]]:
    """Have many requests in flight of two keys, some with a slot of their route too."""
    other = (await service.world.create_key()).text
    service.end("r-other", await service.lease("r-other", key=other))
    await settled(service)
    found = []
    for number in range(LEASES):
        request_id = f"r-{number}"
        asked = {"key": other} if number % 3 else {}
        path = "/shared/x" if number % 2 else "/"
        found.append((request_id, await service.lease(request_id, path=path, **asked)))
    return found


@pytest.mark.parametrize("store", STORES)
def test_many_ends_at_once_free_each_slot_once(tmp_path: Path, store: str) -> None:
    """In any order, some twice, some of nobody: as many count as there were, all else is unknown."""

    async def scenario() -> None:
        servers, url = _servers(store)
        async with server_on(
            servers[0], tmp_path, url=url, routes=[PER_ROUTE], deadline="2s", max=LEASES
        ) as service:
            leases, counts = await _let_in(service), service.world.app.parts.ends
            assert slots.held(*servers) == LEASES + LEASES // 2
            by_signal, unknown = counts.by_signal, counts.unknown
            signals = [_ended(*one) for one in [*leases, *leases[: LEASES // 2]]]
            strange = leases[0][1].replace(leases[0][1].partition(".")[0], "ab-1")
            signals += [_ended("r-strange", strange), _ended("r-x", "no-lease"), _ended("r-7", leases[8][1])]
            random.Random(1).shuffle(signals)
            service.world.app.releases.take(signals)
            await settled(service)
            assert (slots.held(*servers), slots.filed(*servers)) == (0, 0)
            assert counts.by_signal - by_signal == LEASES
            assert counts.unknown - unknown == len(signals) - LEASES
            assert counts.by_expiry == 0
            slots.assert_all_end(*servers)

    asyncio.run(scenario())


@pytest.mark.parametrize("store", STORES)
def test_ends_in_one_call_let_in_as_many_as_wait(tmp_path: Path, store: str) -> None:
    """Whoever waits is called, as many as there are slots; none is let in for an end that comes twice."""

    async def scenario() -> None:
        servers, url = _servers(store)
        async with server_on(servers[0], tmp_path, url=url, max=4, queue=8, wait="30s") as service:
            leases = [(f"r-{number}", await service.lease(f"r-{number}")) for number in range(4)]
            waiting = [service.ask(f"w-{number}") for number in range(8)]
            await service.waits(8)
            service.world.app.releases.take([_ended(*one) for one in leases[:3] * 2])
            await service.waits(5)
            await settled(service)
            assert (slots.held(*servers), slots.waiting(*servers)) == (4, 5)
            assert [one.done() for one in waiting] == [True] * 3 + [False] * 5
            for number in range(3, 8):
                service.leave(f"w-{number}")

    asyncio.run(scenario())


@pytest.mark.parametrize("store", STORES)
def test_ends_without_a_lease_are_carried_out_before_a_server_has_stopped(tmp_path: Path, store: str) -> None:
    """Though it takes two steps: what is filed under the request, then the end of that."""

    async def scenario() -> None:
        servers, url = _servers(store)
        async with server_on(
            servers[0], tmp_path, url=url, routes=[PER_ROUTE], deadline="2s", max=LEASES
        ) as service:
            leases = await _let_in(service)
            service.world.app.releases.take([_ended(request_id, "") for request_id, _ in leases])
            shared = service.world.app.leases._shared  # type: ignore[attr-defined]  # nothing else tells
            await shared.settle()
            assert not any(each.is_asking for each in (shared._errands, shared._ends))
            # What Redis was too slow for is tried again.
            await settled(service)
            assert (slots.held(*servers), slots.filed(*servers)) == (0, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("store", STORES)
def test_a_lease_that_ended_by_itself_is_counted_by_whatever_sees_it(tmp_path: Path, store: str) -> None:
    """Once, also where a request that still runs is what comes next to the limit."""

    async def scenario() -> None:
        servers, url = _servers(store)
        routes = [{"path": "/short", "timeout": "1s"}]
        async with server_on(servers[0], tmp_path, url=url, routes=routes, max=4, ttl="1m") as service:
            await service.lease("r-short", path="/short")
            running = await service.lease("r-long")
            app = service.world.app
            while not app.parts.ends.by_expiry:
                app.releases.take([Signal("r-long", running, progress=True)])
                await settled(service)
            assert (app.parts.ends.by_expiry, slots.held(*servers)) == (1, 1)

    asyncio.run(asyncio.wait_for(scenario(), 30))
