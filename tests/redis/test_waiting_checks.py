"""A real Redis stops answering: only so many checks wait for it, the rest are refused at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.redis.served import CAPACITY, DEADLINE_SECONDS, SHARE, Answer, Served, is_normal, serving

pytestmark = pytest.mark.servers

MOST = 5
COMING = 20
# By how much the end of each half of the deadline is looked at later than the store looks.
SLACK_SECONDS = 0.005
# Of the loop: more than it takes from a check's beginning to its question, or from a timer to who awaits it.
TURNS = 5
# How those end that wait, by policy: all of a small share of the limit are let in.
POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "closed": ({}, "store_unavailable"),
    "degrade": ({"authentication": "degrade", "limits": "degrade", "share": SHARE}, "allowed"),
}


async def turns() -> None:
    """Have the loop go round."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def rush(served: Served) -> list[Answer]:
    """Ask many times at once; hold that all have an answer by the deadline, and return them as they came.

    Redis says nothing meanwhile. However slow the machine is: the deadline is one of the same loop, and as
    the store's it begins its second half only when the loop has got round to the end of the first.
    """
    came: list[Answer] = []

    async def ask() -> None:
        came.append(await served.check(served.warm))

    asked = asyncio.gather(*(ask() for _ in range(COMING)))
    await turns()
    for _ in range(2):
        await asyncio.sleep(DEADLINE_SECONDS / 2 + SLACK_SECONDS)
    await turns()
    assert asked.done()
    await asked
    return came


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
            # Those that don't wait have their answer before all that do.
            assert codes(found) == ["overloaded"] * (COMING - MOST) + [ended] * MOST
            refused = found[:-MOST]
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
