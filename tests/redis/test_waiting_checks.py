"""A real Redis stops answering: only so many checks wait for it, the rest are refused at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.redis.served import ANSWERED_WITHIN, CAPACITY, SHARE, Answer, Served, is_normal, serving

pytestmark = pytest.mark.servers

MOST = 5
COMING = 20
# How those end that wait, by policy: all of a small share of the limit are let in.
POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "closed": ({}, "store_unavailable"),
    "degrade": ({"authentication": "degrade", "limits": "degrade", "share": SHARE}, "allowed"),
}


async def rush(served: Served) -> list[Answer]:
    """Ask many times at once, in the order of the answers returned."""
    return await asyncio.gather(*(served.check(served.warm) for _ in range(COMING)))


def codes(answers: list[Answer]) -> list[str]:
    """Return what was decided."""
    return [answer.reply.code for answer in answers]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_frozen_redis_is_waited_for_by_so_many_and_no_more(tmp_path: Path, policy: str) -> None:
    """Until it is known to be silent; then nobody waits, and once it answers again all is as before."""

    async def scenario() -> None:
        failure, ended = POLICIES[policy]
        async with serving(tmp_path, failure=failure, throttle={"max_checks": MOST}) as served:
            responder = served.world.app.responder
            served.server.child.pause()
            found = await rush(served)
            assert codes(found) == [ended] * MOST + ["overloaded"] * (COMING - MOST)
            waited, refused = found[:MOST], found[MOST:]
            assert max(answer.seconds for answer in waited) <= ANSWERED_WITHIN
            assert max(answer.seconds for answer in refused) < min(answer.seconds for answer in waited) / 2
            assert {answer.reply.headers["retry-after"] for answer in refused} == {"1"}
            assert (responder.waiting, responder.crowded_out) == (0, COMING - MOST)
            # It is known by now, so the policy decides without any waiting.
            more = await asyncio.gather(*(served.check(served.warm) for _ in range(MOST)))
            assert codes(more) == [ended] * MOST
            served.server.child.resume()
            await served.is_back()
            again = await asyncio.gather(*(served.check(served.warm) for _ in range(MOST)))
            assert all(map(is_normal, again))
            assert (responder.waiting, responder.crowded_out) == (0, COMING - MOST)
            # Those that were refused at once were never counted.
            left = int(again[-1].reply.headers["x-ratelimit-remaining"])
            assert left > CAPACITY - COMING

    asyncio.run(scenario())
