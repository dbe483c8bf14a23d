"""Requests in flight while Sentinels replace the master: what was never copied is all that is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.processes import wait_until
from tests.redis import slots
from tests.redis.in_flight import LEASE, InFlight, server_on, settled
from tests.redis.sentinels import running_sentinels
from tests.redis.server import RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.servers

MOST = 6
_WITHIN_SECONDS = 30.0


def _cut_off(master: RedisServer, replica: RedisServer) -> None:
    """Have the replica hear nothing more of its master, which goes on."""
    assert master.ask("WAIT", 1, 10_000) == 1
    replica.child.pause()
    master.ask("CLIENT", "KILL", "TYPE", "replica")


def _replace(master: RedisServer, replica: RedisServer) -> None:
    master.child.kill()
    replica.child.resume()
    wait_until(
        lambda: "role:master" in replica.ask("INFO", "replication"), within=_WITHIN_SECONDS, what="a failover"
    )


async def _is_up(service: InFlight) -> None:
    """Wait until checks are answered by the new master; they leave nothing."""
    deadline = asyncio.get_running_loop().time() + _WITHIN_SECONDS
    while (reply := await service.ask("r-up")).code == "store_unavailable":
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    if LEASE in reply.headers:
        service.end("r-up", reply.headers[LEASE])
    await settled(service)


async def _let_in(service: InFlight, name: str, count: int) -> list[tuple[str, str]]:
    found = [(f"{name}-{number}", await service.lease(f"{name}-{number}")) for number in range(count)]
    await settled(service)
    return found


def test_a_failover_forgets_what_was_not_copied_and_nothing_else(tmp_path: Path) -> None:
    """As many too many are let in as leases were lost; where an end was lost, it may come again."""

    async def scenario() -> None:
        with running_sentinels(tmp_path) as (master, replica, url):
            async with server_on(master, tmp_path, url=url, max=MOST, ttl="1m") as service:
                counts = service.world.app.parts.ends
                copied = await _let_in(service, "copied", 4)
                _cut_off(master, replica)
                service.end(*copied[0])
                lost = await _let_in(service, "lost", 2)
                assert slots.held(master) == 5
                _replace(master, replica)
                await _is_up(service)
                # The end of one was lost, and the beginning of two.
                assert slots.held(replica) == len(copied)
                unknown, ended = counts.unknown, counts.by_signal
                later = await _let_in(service, "later", MOST - len(copied))
                await service.refused("r-more")
                # Ends of what is forgotten free nobody's slot, however often they come.
                for one in lost * 2:
                    service.end(*one)
                await settled(service)
                assert (slots.held(replica), counts.unknown - unknown) == (MOST, 4)
                for one in [*copied, *later] * 2:
                    service.end(*one)
                await eventually(lambda: slots.held(replica) == 0)
                await settled(service)
                assert counts.by_signal - ended == MOST
                assert counts.unknown - unknown == 4 + MOST
                await _let_in(service, "again", MOST)
                await service.refused("r-more")
                slots.assert_all_end(replica)

    asyncio.run(scenario())


def test_ends_and_waits_through_a_failover_are_made_good(tmp_path: Path) -> None:
    """Ends that come meanwhile are carried out by the new master; whoever waits has its slot then."""

    async def scenario() -> None:
        with running_sentinels(tmp_path) as (master, replica, url):
            async with server_on(
                master, tmp_path, url=url, max=MOST, queue=2, wait="30s", ttl="1m"
            ) as service:
                leases = await _let_in(service, "r", MOST)
                waits = [service.ask(f"w-{number}") for number in range(2)]
                await service.waits(2)
                assert master.ask("WAIT", 1, 10_000) == 1
                master.child.pause()
                for one in leases[:3] * 2:
                    service.end(*one)
                wait_until(
                    lambda: "role:master" in replica.ask("INFO", "replication"),
                    within=_WITHIN_SECONDS,
                    what="a failover",
                )
                replies = await asyncio.wait_for(asyncio.gather(*waits), _WITHIN_SECONDS)
                assert [reply.status for reply in replies] == [200, 200]
                await settled(service)
                await eventually(lambda: slots.held(replica) == MOST - 1)
                assert slots.waiting(replica) == 0
                slots.assert_all_end(replica)

    asyncio.run(scenario())
