"""Limits through the failover of a Redis behind Sentinels: no more is forgotten than was on its way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.integration.processes import wait_until
from tests.redis.sentinels import running_sentinels
from tests.redis.server import RedisServer
from tests.waiting import eventually

from .client import Client
from .fleet import Fleet

CLIENTS = 16
CAPACITY, REFILL = 3_000, 1.0
TIERS = {"default": {"rates": [{"rate": "60/minute burst 3000", "name": "slow"}]}}


class _Crowd:
    """Clients that ask until they are refused for the limit; 503 in between is no answer to that."""

    def __init__(self) -> None:
        self.admitted: list[float] = []
        self.unavailable = 0
        self.spent = False

    async def ask(self, port: int, key: str) -> None:
        client = Client(port, key)
        await client.open()
        while not self.spent:
            answer = await client.ask()
            if answer.status == 200:
                self.admitted.append(time.monotonic())
            elif answer.status == 503:
                self.unavailable += 1
            else:
                assert answer.violated == ("slow",)
                self.spent = True
        client.close()


def test_a_failover_forgets_no_more_than_was_on_its_way(tmp_path: Path) -> None:
    """What was admitted in the second before the master hung may be admitted again, and nothing else."""
    with running_sentinels(tmp_path) as (master, _, url):
        fleet = Fleet(tmp_path / "node", store_url=url, tiers=TIERS)
        fleet.child.start()
        try:
            wait_until(fleet.serving, within=20, what="the workers")
            key = str(fleet.create_key()["key"])
            started = time.monotonic()
            crowd = _Crowd()
            hung = asyncio.run(_through_a_failover(crowd, fleet, key, master))
            lasted = time.monotonic() - started
        finally:
            master.child.resume()
            fleet.close()
            fleet.child.stop()
    on_its_way = sum(hung - 1 <= moment <= hung for moment in crowd.admitted)
    assert len(crowd.admitted) <= CAPACITY + REFILL * lasted + on_its_way
    # A request whose answer never came may have been counted.
    assert len(crowd.admitted) > CAPACITY - 1 - crowd.unavailable
    assert max(crowd.admitted) > hung


async def _through_a_failover(crowd: _Crowd, fleet: Fleet, key: str, master: RedisServer) -> float:
    asking = [asyncio.create_task(crowd.ask(fleet.check_port, key)) for _ in range(CLIENTS)]
    await eventually(lambda: len(crowd.admitted) >= CAPACITY // 3, within=30)
    hung = time.monotonic()
    master.child.pause()
    await asyncio.wait_for(asyncio.gather(*asking), 60)
    return hung
