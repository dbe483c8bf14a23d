"""The first thousand calls with a key, all at once, on each store: one argon2; afterwards none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from extauth.dialects.base import Answer, RequestHead
from tests.redis.server import shared_server
from tests.world import World, open_world

CALLS = 1_000
PEPPER = "a pepper that is given, as a shared store wants it"


def sections(name: str) -> dict[str, Any]:
    """Return the sections of the settings that choose a store."""
    throttle = {"max_checks": CALLS}
    if name == "sqlite":
        return {"throttle": throttle}
    server = shared_server()
    server.ask("FLUSHALL")
    return {
        "store": {"url": server.url, "timeout": "5s"},
        # A thousand at once take longer than a check may wait.
        "failure": {"deadline": "5s"},
        "keys": {"peppers": [PEPPER]},
        "throttle": throttle,
    }


async def ask(world: World, key: str) -> Answer:
    """Ask as Envoy does."""
    lines = {b"host": b"api.example.com", b"x-api-key": key.encode(), b"x-request-id": b"r-1"}
    answer = world.app.responder.respond(RequestHead(b"GET", b"/envoy/a", lines))
    return answer if isinstance(answer, Answer) else await world.app.responder.finish(answer)


@pytest.mark.parametrize("name", ["sqlite", "redis"])
def test_a_thousand_first_calls_cost_one_argon2(tmp_path: Path, name: str) -> None:
    """However many come at once, and however many afterwards; a restart costs one more."""

    async def scenario() -> None:
        chosen = sections(name)
        async with open_world(tmp_path, tiers={"wide": {"rates": ["1000000/second"]}}, **chosen) as world:
            key = await world.create_key(tier="wide")
            for _ in range(3):
                answers = await asyncio.gather(*(ask(world, key.text) for _ in range(CALLS)))
                assert [answer.status for answer in answers] == [200] * CALLS
                assert (world.app.hasher.verifications, world.app.hasher.refusals) == (1, 0)

    asyncio.run(scenario())
