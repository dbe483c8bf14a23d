"""One server of a cluster fails: checks that need it go by the policy, all others as ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from extauth.clock import SystemClock
from extauth.stores.redis import layout
from tests.redis.served import ANSWERED_WITHIN, BACK_WITHIN, Answer, is_normal, timed, waited_for_cpu
from tests.redis.server import RedisServer, cluster_url, running_cluster
from tests.waiting import eventually
from tests.world import World, open_world

pytestmark = pytest.mark.servers

ROUNDS = 10


class Cluster:
    """The server in this process, its cluster, and a known key in the slots of each of its servers."""

    def __init__(self, world: World, servers: Sequence[RedisServer]) -> None:
        self.world = world
        self.servers = servers
        self.keys: dict[int, str] = {}

    async def prepare(self) -> None:
        """Make the keys, and use each."""
        while len(self.keys) < len(self.servers):
            key = await self.world.create_key()
            self.keys.setdefault(self._place_of(key.record.key_id), key.text)
        for place in self.keys:
            # On a busy machine its servers may not think the cluster whole at the first question.
            await self.is_back(place)

    def _place_of(self, key_id: str) -> int:
        """Return the number of the server that has a key's record, and so its limits."""
        name = layout.record(key_id)
        return next(number for number, server in enumerate(self.servers) if name in server.ask("KEYS", name))

    async def check(self, place: int) -> Answer:
        """Check the key of a server, and measure it."""
        return await timed(self.world.ask("/v1/x", key=self.keys[place]))

    def problem(self) -> str:
        """Return what `/readyz` says of limits."""
        return self.world.app.health.page()["parts"]["limits"]

    async def is_back(self, place: int) -> None:
        """Wait until a server's key is answered as ever: within the time that is promised."""
        loop = asyncio.get_running_loop()
        began, waited = loop.time(), waited_for_cpu()
        while not is_normal(await self.check(place)):
            assert loop.time() - began - (waited_for_cpu() - waited) < BACK_WITHIN
            await asyncio.sleep(0.005)


@asynccontextmanager
async def clustered(folder: Path) -> AsyncIterator[Cluster]:
    """Run all of it. The others don't give a server up that only hangs for the length of a test."""
    with running_cluster(folder / "redis") as servers:
        for server in servers:
            server.ask("CONFIG", "SET", "cluster-node-timeout", 60_000)
        sections: dict[str, Any] = {
            "store": {"url": cluster_url(servers)},
            "keys": {"peppers": ["a pepper that all servers of these tests share"]},
            "tiers": {"default": {"rates": ["400/hour"]}},
        }
        async with open_world(folder, clock=SystemClock(), **sections) as world:
            cluster = Cluster(world, servers)
            await cluster.prepare()
            yield cluster


@pytest.mark.parametrize("hung", range(3))
def test_a_server_that_hangs_refuses_its_own_slots_in_time_and_no_others(tmp_path: Path, hung: int) -> None:
    """503 within 75 ms for keys of its slots, 200 for all others, and all as before a second later."""

    async def scenario() -> None:
        async with clustered(tmp_path) as cluster:
            server = cluster.servers[hung]
            server.child.pause()
            try:
                for _ in range(ROUNDS):
                    answers = await asyncio.gather(*map(cluster.check, range(3)))
                    for place, answer in enumerate(answers):
                        assert answer.seconds <= ANSWERED_WITHIN
                        assert answer.status == (503 if place == hung else 200)
                assert cluster.problem().startswith(f"127.0.0.1:{server.port}: ")
            finally:
                server.child.resume()
            await cluster.is_back(hung)
            await eventually(lambda: cluster.problem() == "ok")
            assert all([is_normal(await cluster.check(place)) for place in range(3)])

    asyncio.run(scenario())


def test_an_error_that_one_server_answers_is_shown_until_it_works_again(tmp_path: Path) -> None:
    """`/readyz` names the server and what it said, while checks of other slots pass."""

    async def scenario() -> None:
        async with clustered(tmp_path) as cluster:
            full = cluster.servers[1]
            full.ask("CONFIG", "SET", "maxmemory", 1)
            assert (await cluster.check(1)).status == 503
            assert is_normal(await cluster.check(0))
            assert f"127.0.0.1:{full.port}: " in cluster.problem()
            assert "maxmemory" in cluster.problem()
            assert not cluster.world.app.health.ready
            full.ask("CONFIG", "SET", "maxmemory", 0)
            await cluster.is_back(1)
            await eventually(lambda: cluster.problem() == "ok")

    asyncio.run(scenario())
