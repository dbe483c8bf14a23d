"""Who waits on one server for a slot that another one hears to be free; and who may not call or be called."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from extauth.limits.plan import Plan
from extauth.stores.redis.limits import calls
from extauth.throttle.claims import Claim
from extauth.throttle.slots import Concurrency, Place
from tests.redis.in_flight import LEASE, server_on
from tests.redis.limits import redis_cluster_limits
from tests.redis.server import HOST, RedisServer
from tests.waiting import eventually

pytestmark = pytest.mark.servers

# A few milliseconds where nothing else runs.
_CALLED_WITHIN = 0.1
_USER, _PASSWORD = "extauth", "a-password-of-these-tests"
# What a user of Redis may be forbidden, so that calls don't come.
FORBIDDEN = {
    "publish": ["-publish"],
    "publish and subscribe": ["-publish", "-subscribe"],
    "all channels": ["resetchannels"],
}


@pytest.fixture(params=FORBIDDEN)
def url_of_forbidden(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[str]:
    """Give the URL of a user that may do everything but this."""
    rights = ["on", f">{_PASSWORD}", "~*", "&*", "+@all", *FORBIDDEN[request.param]]
    server.ask("ACL", "SETUSER", _USER, *rights)
    yield f"redis://{_USER}:{_PASSWORD}@{HOST}:{server.port}"
    server.ask("ACL", "DELUSER", _USER)


def test_a_waiter_gets_the_slot_that_another_server_hears_to_be_free(
    tmp_path: Path, server: RedisServer
) -> None:
    """Within some milliseconds, by a call, in the order in which they came, wherever they wait."""

    async def scenario() -> None:
        limit: dict[str, Any] = {"max": 1, "queue": 8, "wait": "30s"}
        async with (
            server_on(server, tmp_path, **limit) as one,
            server_on(server, tmp_path, key=one.key, **limit) as two,
        ):
            loop = asyncio.get_running_loop()
            lease, seconds = await one.lease("r-0"), []
            for number in range(1, 21):
                first = one.ask(f"r-{number}-1")
                await one.waits(1)
                second = two.ask(f"r-{number}-2")
                await two.waits(1)
                for waits, hears in ((first, two), (second, one)):
                    began = loop.time()
                    hears.end("r-elsewhere", lease)
                    lease = (await asyncio.wait_for(waits, 5)).headers[LEASE]
                    seconds.append(loop.time() - began)
            assert statistics.median(seconds) < _CALLED_WITHIN, seconds

    asyncio.run(scenario())


def test_calls_are_heard_from_another_server_of_a_cluster_where_one_hangs(
    cluster: Sequence[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers of a cluster pass calls on to each other, so that any of them will do."""
    monkeypatch.setattr(calls, "_ASKED_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(calls, "_DIALLED_WITHIN_SECONDS", 0.2)

    limit = Concurrency(most=1, lease_us=1_000_000, queue=1, wait_us=1_000_000)
    plan = Plan((), (Place("key:a/own", limit, "key:a", "own"),), "a")

    def listening() -> list[RedisServer]:
        return [server for server in cluster if server.ask("PUBSUB", "NUMSUB", "extauth:calls:aaaa")[1]]

    async def scenario() -> None:
        async with redis_cluster_limits() as shared:
            shared.store.ask(plan, None, lambda _told: None, Claim("aaaa-0", "r-0"))
            await eventually(lambda: len(listening()) == 1)
            (first,) = listening()
            others = [server for server in cluster if server is not first]
            first.child.pause()
            try:
                await eventually(
                    lambda: any(server.ask("PUBSUB", "NUMSUB", "extauth:calls:aaaa")[1] for server in others)
                )
            finally:
                first.child.resume()

    asyncio.run(scenario())


def test_whoever_can_not_be_called_asks_again_at_the_end_of_its_wait(
    tmp_path: Path, server: RedisServer, url_of_forbidden: str
) -> None:
    """Where Redis forbids calls all else goes on; a slot that is free is found by the last try."""

    async def scenario() -> None:
        limit: dict[str, Any] = {"max": 1, "queue": 4, "wait": "300ms"}
        async with server_on(server, tmp_path, url=url_of_forbidden, **limit) as service:
            loop = asyncio.get_running_loop()
            lease = await service.lease("r-0")
            began = loop.time()
            waits = service.ask("r-1")
            await service.waits(1)
            service.end("r-0", lease)
            reply = await asyncio.wait_for(waits, 5)
            assert reply.status == 200
            assert 0.29 < loop.time() - began < 1
            await service.refused("r-2")
            service.end("r-1", reply.headers[LEASE])
            # Nobody waits any more, so that nobody has to be called.
            await service.lease("r-3")

    asyncio.run(scenario())
