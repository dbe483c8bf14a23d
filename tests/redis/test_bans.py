"""Bans while Redis is gone: they hold, those that begin hold here, and no check waits for any of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauth.errors import StoreError
from tests.redis.served import ANSWERED_WITHIN, SECTIONS, timed
from tests.redis.server import RedisServer, running
from tests.waiting import eventually
from tests.world import World, open_world

HELD, BEGUN = "192.0.2.7", "198.51.100.9"


async def fail(world: World, address: str, times: int = 1) -> list[str]:
    """Send keys that are no good; return the codes of the answers, which must come at once."""
    codes = []
    for number in range(times):
        asked = world.ask(key=f"no-key-{number}", headers={"x-extauth-client-ip": address})
        answer = await timed(asked)
        assert answer.seconds < ANSWERED_WITHIN
        codes.append(answer.reply.code)
    return codes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that keeps what it has."""
    keeping = RedisServer(tmp_path / "redis", ("--appendonly", "yes", "--appendfsync", "always"))
    with running(keeping):
        yield keeping


def test_bans_without_redis(server: RedisServer, tmp_path: Path) -> None:
    """What began without it is there for all once it is back."""

    async def until_stored(world: World, *addresses: str) -> None:
        wanted = {f"ip:{address}" for address in addresses}
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(StoreError):
                    found = await world.management.store.bans()
                    if found is not None and {ban.subject for ban in found.bans} == wanted:
                        return
                await asyncio.sleep(0.01)

    async def scenario() -> None:
        abuse = {"per_address": {"failures": 3, "ban": "1h"}}
        sections = {**SECTIONS, "store": {"url": server.url}, "abuse": abuse}
        async with open_world(tmp_path, **sections) as world:
            await fail(world, HELD, 3)
            await until_stored(world, HELD)
            await asyncio.to_thread(server.child.kill)
            assert await fail(world, HELD) == ["cooling_down"]
            assert await fail(world, BEGUN, 4) == ["invalid_key"] * 3 + ["cooling_down"]
            await eventually(lambda: not world.app.parts.abuse.begun)
            assert await fail(world, BEGUN) == ["cooling_down"]
            await asyncio.to_thread(server.child.start)
            await until_stored(world, HELD, BEGUN)
            assert await fail(world, HELD) == await fail(world, BEGUN) == ["cooling_down"]

    asyncio.run(scenario())
