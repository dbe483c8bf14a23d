"""Usage and a Redis that can't be reached, or that nobody hears: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio

import pytest

from extauth.clock import to_us
from extauth.errors import StoreError
from extauth.model import Code, Decision
from extauth.stores.redis import layout
from extauth.stores.usage import DAY_SECONDS, HOUR, MINUTE
from extauth.usage.tracker import UsageTracker
from tests.checking import request_for
from tests.fakes import START, FakeClock
from tests.redis.relay import Relay, relaying
from tests.redis.server import RedisServer
from tests.redis.usage import opened_usage
from tests.usage import NOON, PLACE, batch, counts, kept, selection

NOW_US = to_us(START)
ALLOWED = Decision(Code.ALLOWED, presented_id="AAAAbbbb0001", route="orders")


@pytest.mark.parametrize("fault", ["pause", "reset", "refuse"])
def test_a_write_of_unknown_outcome_counts_once(server: RedisServer, fault: str) -> None:
    """Delivered late, or done and not heard, or never done: the batch comes again until it was taken."""

    async def scenario() -> None:
        async with relaying(server.port) as relay, opened_usage(relay.url, patience_seconds=0.3) as store:
            tracker = UsageTracker(store, process="p", clock=FakeClock())
            await see(tracker, 3)
            await {"pause": Relay.pause, "reset": Relay.reset, "refuse": Relay.refuse}[fault](relay)
            await see(tracker, 5)
            # What comes meanwhile is a batch of its own.
            await see(tracker, 7)
            await relay.resume()
            await see(tracker, 11)
            (found,) = (await kept(store, selection(MINUTE))).values()
            assert found[0] == 26
            assert server.ask("GET", layout.usage_written("p")) in {"3", "4"}

    asyncio.run(scenario())


async def see(tracker: UsageTracker, requests: int) -> None:
    """Count requests, and write them if Redis can be reached."""
    tracker.see([(request_for("/"), ALLOWED, NOW_US, NOW_US)] * requests)
    await tracker.write()


def test_a_redis_that_forgot_its_scripts_counts_on(server: RedisServer) -> None:
    """As after a restart."""

    async def scenario() -> None:
        async with opened_usage(server.url) as store:
            await store.add(batch(1, (PLACE, counts(1))))
            server.ask("SCRIPT", "FLUSH")
            await store.add(batch(2, (PLACE, counts(1))))
            assert list((await kept(store, selection(MINUTE))).values()) == [counts(2)]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "spoilt",
    [
        ("HSET", "extauth:{usage}:1m:all:492324:", "nonsense", "[1]"),
        ("HSET", "extauth:{usage}:1m:all:492324:", '0["a","b"]', "nonsense"),
        ("HSET", "extauth:{usage}:1m:all:492324:", '0["a"]', "[1]"),
    ],
)
def test_what_nobody_wrote_is_a_fault_of_the_store(server: RedisServer, spoilt: tuple[str, ...]) -> None:
    """And no fault of ours."""

    async def scenario() -> None:
        async with opened_usage(server.url) as store:
            server.ask(*spoilt)
            with pytest.raises(StoreError, match="can't be read"):
                await store.read(selection(MINUTE))

    asyncio.run(scenario())


def test_a_ranking_that_nobody_wrote_is_a_fault_of_the_store(server: RedisServer) -> None:
    """As above."""

    async def scenario() -> None:
        async with opened_usage(server.url) as store:
            server.ask("ZADD", "extauth:{usage}:1m:places:all:492324", 1, "nonsense")
            with pytest.raises(StoreError, match="can't be read"):
                await store.top(selection(MINUTE))

    asyncio.run(scenario())


def test_what_was_counted_before_there_were_sums_has_them(server: RedisServer) -> None:
    """A period that is over is added up when it is asked for, one that goes on at its next batch."""

    async def scenario() -> None:
        async with opened_usage(server.url) as store:
            parts = [(PLACE, counts(3, n5=2**52)), (PLACE._replace(tier="pro"), counts(1, 2))]
            await store.add(batch(1, *parts, minute=NOON - DAY_SECONDS))
            await store.add(batch(2, *parts))
            for name in server.ask("KEYS", "*:sum:*"):
                server.ask("DEL", name)
            before = counts(4, 2, n5=2**52)
            assert await kept(store, selection(HOUR)) == {("", 0): before, ("", -DAY_SECONDS): before}
            await store.add(batch(3, (PLACE._replace(route="users"), counts(10, n5=1))))
            after = counts(14, 2, n5=2**52 + 1)
            assert await kept(store, selection(HOUR)) == {("", 0): after, ("", -DAY_SECONDS): before}
            assert len(server.ask("KEYS", "*:1h:sum:*")) == 1
            assert all(server.ask("TTL", name) > 0 for name in server.ask("KEYS", "*:sum:*"))

    asyncio.run(scenario())
