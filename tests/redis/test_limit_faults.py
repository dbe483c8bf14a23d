"""Redis fails in every way while it is asked for limits: each check is answered in time, by the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.processes import free_ports
from tests.redis.served import (
    ANSWERED_WITHIN,
    CAPACITY,
    LOCALLY,
    SHARE,
    Answer,
    Served,
    is_loading,
    is_normal,
    serving,
)
from tests.waiting import eventually

pytestmark = pytest.mark.servers

CLOSED: dict[str, Any] = {}
OPEN = {"authentication": "open", "limits": "open"}
DEGRADE = {"authentication": "degrade", "limits": "degrade", "share": SHARE}
ROUNDS = 10


class Fault(NamedTuple):
    """How it begins and how it ends."""

    begin: Callable[[Served], Awaitable[object]]
    end: Callable[[Served], Awaitable[object]]


async def _freeze(served: Served) -> None:
    served.server.child.pause()


async def _thaw(served: Served) -> None:
    served.server.child.resume()


async def _load(served: Served) -> None:
    """Have it load what it has, which takes a second and more."""
    await served.command("DEBUG", "POPULATE", 3000)
    await served.command("CONFIG", "SET", "key-load-delay", 300)
    loading = asyncio.create_task(served.command("DEBUG", "RELOAD"))
    await eventually(lambda: is_loading(served.server.port))
    served.loading = loading


async def _loaded(served: Served) -> None:
    assert served.loading is not None
    await served.loading


FAULTS = {
    "it hangs": Fault(lambda it: it.relay.pause(), lambda it: it.relay.resume()),
    "it is frozen": Fault(_freeze, _thaw),
    "it refuses connections": Fault(lambda it: it.relay.refuse(), lambda it: it.relay.resume()),
    "it cuts answers": Fault(lambda it: it.relay.reset(), lambda it: it.relay.resume()),
    "its memory is full": Fault(
        lambda it: it.command("CONFIG", "SET", "maxmemory", 1),
        lambda it: it.command("CONFIG", "SET", "maxmemory", 0),
    ),
    "it is a replica": Fault(
        lambda it: it.command("REPLICAOF", "127.0.0.1", free_ports(1)[0]),
        lambda it: it.command("REPLICAOF", "NO", "ONE"),
    ),
    "it is loading": Fault(_load, _loaded),
}


async def during(served: Served, fault: Fault) -> list[dict[str, Answer]]:
    """Ask in all ways again and again while a fault lasts; hold that every answer is in time."""
    await fault.begin(served)
    try:
        rounds = [await served.round() for _ in range(ROUNDS)]
    finally:
        await fault.end(served)
    for number, one in enumerate(rounds):
        late = {way: answer.seconds for way, answer in one.items() if answer.seconds > ANSWERED_WITHIN}
        assert late == {}, f"round {number}"
        # That the key has not the scopes is known where reading goes on.
        assert one["cold, with scopes"].status in {403, 503}
        # Whose key can't be one needs no store to be refused.
        assert [one[way].reply.code for way in ("forged", "missing")] == ["invalid_key", "missing_key"]
    return rounds


def answers(rounds: list[dict[str, Answer]], *ways: str) -> list[Answer]:
    """Return the answers to checks of these kinds."""
    return [one[way] for one in rounds for way in ways]


def hold_unavailable(found: list[Answer]) -> None:
    """Hold that nobody was let in, and all were told to come back."""
    for answer in found:
        assert (answer.status, answer.reply.code) == (503, "store_unavailable")
        assert answer.reply.headers["retry-after"] == "1"
        assert "x-extauth-degraded" not in answer.reply.headers


@pytest.mark.parametrize("fault", FAULTS)
def test_closed_lets_nobody_in_and_nobody_waits(tmp_path: Path, fault: str) -> None:
    """Every check is a 503 within 75 ms, whoever asks; a second later all is as before, and counted on."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=CLOSED) as served:
            rounds = await during(served, FAULTS[fault])
            hold_unavailable(answers(rounds, "warm", "cold", "anonymous"))
            await served.is_back()
            assert (await served.check(served.cold.pop())).status == 200
            assert (await served.check(None, "/open/x")).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", FAULTS)
def test_degrade_honours_known_keys_within_a_local_share(tmp_path: Path, fault: str) -> None:
    """Those that the store confirmed lately, and anonymous ones: never more than the share of each limit."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=DEGRADE) as served:
            await FAULTS[fault].begin(served)
            try:
                found = [await served.round() for _ in range(ROUNDS)]
                more = await asyncio.gather(*(served.check(served.warm) for _ in range(LOCALLY)))
            finally:
                await FAULTS[fault].end(served)
            hold_unavailable(answers(found, "cold"))
            warm, anonymous = answers(found, "warm") + list(more), answers(found, "anonymous")
            for answer in warm + anonymous:
                assert answer.seconds <= ANSWERED_WITHIN
                assert "limits=degrade" in answer.reply.headers["x-extauth-degraded"]
            assert [answer.status for answer in anonymous] == [200] * ROUNDS
            assert sorted(answer.status for answer in warm) == [200] * LOCALLY + [429] * ROUNDS
            back = await served.is_back()
            # What was given out locally is not counted: the store says how it stands.
            assert int(back.reply.headers["x-ratelimit-remaining"]) >= CAPACITY - 2 * ROUNDS

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", FAULTS)
def test_open_goes_on_without_the_store_and_lets_no_forged_key_in(tmp_path: Path, fault: str) -> None:
    """Known keys and those whose tag fits pass uncounted, but not where a scope is needed."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=OPEN) as served:
            rounds = await during(served, FAULTS[fault])
            for answer in answers(rounds, "warm", "cold", "anonymous"):
                assert answer.status == 200
                assert "=open" in answer.reply.headers["x-extauth-degraded"]
            await served.is_back()

    asyncio.run(scenario())


def test_a_redis_that_stands_still_for_five_seconds_is_not_waited_for(tmp_path: Path) -> None:
    """A few checks wait for their deadline, all others not at all, and the rush afterwards is served."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=CLOSED) as served:
            served.server.child.pause()
            try:
                loop = asyncio.get_running_loop()
                ends = loop.time() + 5
                found = []
                while loop.time() < ends:
                    found += await asyncio.gather(*(served.check(served.warm) for _ in range(5)))
                    await asyncio.sleep(0.02)
            finally:
                served.server.child.resume()
            hold_unavailable(found)
            assert max(answer.seconds for answer in found) <= ANSWERED_WITHIN
            # Those of the first round, and one round more for each connection that seemed to work.
            assert sum(answer.seconds > ANSWERED_WITHIN / 3 for answer in found) <= 10
            await served.is_back()
            rush = await asyncio.gather(*(served.check(served.warm) for _ in range(CAPACITY + 50)))
            assert sum(answer.status == 200 for answer in rush) <= CAPACITY

    asyncio.run(scenario())


def test_scripts_that_redis_forgot_are_sent_again(tmp_path: Path) -> None:
    """After SCRIPT FLUSH no check fails, and none is counted twice."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=CLOSED) as served:
            for used in range(2, 6):
                await served.command("SCRIPT", "FLUSH")
                answer = await served.check(served.warm)
                assert is_normal(answer)
                assert int(answer.reply.headers["x-ratelimit-remaining"]) == CAPACITY - used

    asyncio.run(scenario())


def test_a_redis_that_restarts_with_its_data_goes_on_counting(tmp_path: Path) -> None:
    """Keys and what was spent are there again within a second, without anybody's doing."""

    async def scenario() -> None:
        durable = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
        async with serving(tmp_path, failure=CLOSED, arguments=durable) as served:
            await asyncio.gather(*(served.check(served.warm) for _ in range(99)))
            await asyncio.to_thread(served.server.child.stop)
            hold_unavailable([await served.check(served.warm)])
            await asyncio.to_thread(served.server.child.start)
            back = await served.is_back()
            assert int(back.reply.headers["x-ratelimit-remaining"]) == CAPACITY - 101

    asyncio.run(scenario())


def test_a_redis_that_restarts_empty_has_no_keys(tmp_path: Path) -> None:
    """What this server remembers of them lets nobody in."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=CLOSED) as served:
            await asyncio.to_thread(served.server.child.kill)
            hold_unavailable([await served.check(served.warm)])
            await asyncio.to_thread(served.server.child.start)
            answer = await served.until(lambda answer: answer.status != 503)
            assert answer.reply.code == "invalid_key"

    asyncio.run(scenario())


def test_a_key_revoked_during_a_fault_is_refused_once_it_is_over(tmp_path: Path) -> None:
    """Honoured meanwhile as the policy says, and not one check longer."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=DEGRADE) as served:
            key = await served.world.create_key()
            assert is_normal(await served.check(key.text))
            await served.relay.refuse()
            before = await served.check(key.text)
            assert (before.status, is_normal(before)) == (200, False)
            await served.relay.resume()
            await served.is_back()
            await served.world.revoke(key.record)
            assert (await served.check(key.text)).reply.code == "invalid_key"

    asyncio.run(scenario())


def test_a_cold_check_does_not_ask_while_the_store_is_known_to_be_gone(tmp_path: Path) -> None:
    """Nothing is sent for it, and it is answered at once."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=CLOSED) as served:
            await served.relay.pause()
            hold_unavailable([await served.check(served.warm)])
            found = [await served.check(served.cold.pop()) for _ in range(5)]
            hold_unavailable(found)
            assert max(answer.seconds for answer in found) < ANSWERED_WITHIN / 3
            await served.relay.resume()
            await served.is_back()

    asyncio.run(scenario())


def test_readiness_names_the_trouble_and_its_end(tmp_path: Path) -> None:
    """`/readyz` says which part fails and why; once it works again, so does it, and the log has both."""

    async def scenario() -> None:
        async with serving(tmp_path, failure=CLOSED) as served:
            for fault, words in {
                "it hangs": "no answer within 50 ms",
                "it refuses connections": "Connection re",
                "its memory is full": "maxmemory",
            }.items():
                await FAULTS[fault].begin(served)
                await served.check(served.warm)
                await eventually(lambda words=words: words in served.problem())  # type: ignore[misc]  # a lambda's default binds the loop's variable
                assert not served.world.app.health.ready
                await FAULTS[fault].end(served)
                await served.is_back()
                await eventually(lambda: served.world.app.health.ready)
                assert served.problem() == "ok"
            told = [line for line in await served.world.logged() if line.get("part") == "limits"]
            assert told[-1]["event"] == "part_works"
            assert any("maxmemory" in line.get("problem", "") for line in told)

    asyncio.run(scenario())
