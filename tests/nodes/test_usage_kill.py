"""A server that is killed, or stopped, while it counts: what was written stays, and is there once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from extauth.settings.model import StoreSettings
from extauth.stores.open import open_usage_store
from extauth.stores.usage import DAY, DAY_SECONDS, requests_of
from extauth.usage.takeover import STILL_LOOKS, Takeover
from tests.integration.processes import wait_until
from tests.usage import selection

from .node import Node, node_on

# More places than a store takes in a second of which usage has a twentieth.
ROUTES = 1_000


@pytest.fixture(params=["sqlite", "redis"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """Give a server, on one store after the other."""
    with node_on(request.param, tmp_path) as node:
        node.child.start()
        yield node


def counted(node: Node) -> int:
    """Return how many requests were allowed, as `extauth usage` tells it."""
    told = node.command("usage", "--by", "none")
    return int(told["series"][0]["total"]["allowed"])


def wait_for_a_write(node: Node) -> None:
    """Wait until a write has ended that began after now, which is when all of before is counted."""
    # Asking has all decisions counted; a write that is under way at this moment may be without them.
    before = node.metric("extauth_usage_writes_total", outcome="ok")
    wait_until(
        lambda: node.metric("extauth_usage_writes_total", outcome="ok") >= before + 2,
        within=20,
        what="a write",
    )


def test_a_kill_loses_only_what_came_since_the_last_write(node: Node) -> None:
    """All of before is there, and nothing is there twice; counting goes on.

    How often it is written, the tests of the tracker hold: that is as long as what is lost may be.
    """
    key = str(node.create_key()["key"])
    assert [node.check(key) for _ in range(300)] == [200] * 300
    wait_for_a_write(node)
    assert [node.check(key) for _ in range(100)] == [200] * 100
    node.child.kill()
    node.close()
    after = counted(node)
    assert 300 <= after <= 400
    node.child.start()
    assert [node.check(key) for _ in range(50)] == [200] * 50
    node.close()
    node.child.stop()
    assert counted(node) == after + 50


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_what_was_noted_when_it_was_killed_is_taken_over(store: str, tmp_path: Path) -> None:
    """Many places are noted before they are written: of these, too, a kill loses but what came at last."""
    routes = [{"name": f"r{number}", "path": f"/r{number}"} for number in range(ROUTES)]
    with node_on(store, tmp_path, routes=routes) as node:
        key = str(node.create_key()["key"])
        node.child.start()
        sent: list[float] = []
        while not asyncio.run(in_journals(node)):
            for _ in range(200):
                assert node.check(key, f"/r{len(sent) % ROUTES}") == 200
                sent.append(time.monotonic())
            assert sent[-1] < sent[0] + 60
        node.child.kill()
        killed = time.monotonic()
        before, after, again = asyncio.run(take_over(node))
    assert before < after <= len(sent)
    # A second is what the tests of the writer hold, whose time no slow machine stretches.
    assert after >= sum(moment < killed - 5 for moment in sent)
    assert again == after


async def in_journals(node: Node) -> bool:
    """Tell whether something is noted."""
    store = await open_usage_store(StoreSettings(url=node.store_url), to_read=True)
    try:
        return bool(await store.journals())
    finally:
        await store.close()


async def take_over(node: Node) -> Sequence[int]:
    """Do as any server does within a minute, twice; return what was counted before, between, and after."""
    store = await open_usage_store(StoreSettings(url=node.store_url))
    today = round(time.time())
    asked = replace(selection(DAY), since=today - DAY_SECONDS, until=today + DAY_SECONDS)
    found = []
    for _ in range(3):
        found.append(sum(requests_of(each.counts) for each in await store.read(asked)))
        heir = Takeover(store)
        for _ in range(STILL_LOOKS + 1):
            await heir.look()
        assert not await store.journals()
    await store.close()
    return found


def test_a_stop_loses_nothing(node: Node) -> None:
    """Not even the requests of its last moment."""
    key = str(node.create_key()["key"])
    assert [node.check(key) for _ in range(200)] == [200] * 200
    assert node.check("nonsense") == 401
    node.close()
    node.child.stop()
    assert counted(node) == 200
