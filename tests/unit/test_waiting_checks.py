"""At most so many checks wait in one process, each until it is decided; one more is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from extauth.dialects.base import Answer
from extauth.errors import StoreError
from extauth.model import CheckRequest, Decision
from extauth.server.responder import Pending
from tests.answers import Reply
from tests.checking import Rig
from tests.dialects import PROXIES
from tests.directory import forged
from tests.logs import logging_to
from tests.reloading import Changing, changing
from tests.sharing import SharedRig
from tests.waiting import eventually

ROUTES = [
    {"path": "/open/**", "auth": "none"},
    {"path": "/scoped/**", "scopes": ["orders:read"]},
    {"path": "/v1/**"},
]
TIERS = {"default": {"rates": ["400/hour"]}, "tight": {"rates": ["1/hour"]}}


class PlantedError(Exception):
    """What no part of extauth raises."""


def broken(*_arguments: Any) -> NoReturn:
    """Stand in for anything."""
    raise PlantedError("planted")


async def broken_later(*_arguments: Any) -> NoReturn:
    """Stand in for anything that is awaited."""
    raise PlantedError("planted")


def with_rig(scenario: Callable[[SharedRig], Awaitable[None]], *, most: int, **sections: Any) -> None:
    """Run a scenario where so many checks may wait."""

    async def run() -> None:
        rules: dict[str, Any] = {"routes": ROUTES, "default_route": "deny", "tiers": TIERS}
        rig = SharedRig(throttle={"max_checks": most}, deadline=5, **rules, **sections)
        try:
            with logging_to(rig.lines):
                await scenario(rig)
        finally:
            rig.hasher.close()

    asyncio.run(run())


async def known_key(rig: Rig, **changes: Any) -> str:
    """Make a key, and use it once."""
    text, _ = await rig.issue(**changes)
    await rig.ask("/v1/x", key=text)
    return text


def respond(rig: Rig, name: str, path: str = "/v1/x", *, key: str = "") -> Answer | Pending:
    """Ask through one proxy."""
    lines = {b"host": b"api.example.com", b"x-request-id": b"r-1"}
    if key:
        lines[b"x-api-key"] = key.encode()
    return rig.responder.respond(PROXIES[name].ask(b"GET", path.encode(), lines))


def at_once(rig: Rig, name: str, path: str = "/v1/x", *, key: str = "") -> Reply:
    """Ask through one proxy, and expect an answer without any waiting."""
    answer = respond(rig, name, path, key=key)
    assert isinstance(answer, Answer)
    return PROXIES[name].told(answer)


def wait(rig: Rig, key: str, number: int = 1) -> list[Answer]:
    """Have so many checks wait, one proxy after the other; their answers come into the list."""
    answers: list[Answer] = []
    for each in range(number):
        pending = respond(rig, list(PROXIES)[each % len(PROXIES)], key=key)
        assert isinstance(pending, Pending)
        rig.responder.begin(pending._replace(done=answers.append))
    return answers


@pytest.mark.parametrize("name", PROXIES)
def test_one_more_than_may_wait_is_refused_at_once(name: str) -> None:
    """Whichever proxies it and the waiting ones came through, and whatever for; no store is asked then."""

    async def scenario(rig: SharedRig) -> None:
        key = await known_key(rig)
        cold, _ = await rig.issue()
        rig.shared.deaf = True
        answers = wait(rig, key, 3)
        asked, read = rig.shared.asked, rig.store.calls.copy()
        crowded = [
            at_once(rig, name, key=key),
            at_once(rig, name, key=cold),
            at_once(rig, name, "/scoped/x", key=key),
            at_once(rig, name, "/open/x"),
        ]
        for reply in crowded:
            assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "overloaded", "1")
            assert not [header for header in reply.headers if header.startswith(("x-auth-", "x-ratelimit"))]
            assert "x-extauth-degraded" not in reply.headers
        assert (rig.shared.asked, rig.store.calls) == (asked, read)
        assert (rig.responder.waiting, rig.responder.crowded_out) == (3, 4)
        rig.shared.hear_again()
        await eventually(lambda: len(answers) == 3)
        assert [answer.status for answer in answers] == [200] * 3
        rig.recorder.flush()
        refused = [line for line in rig.lines.events("decision") if line["code"] == "overloaded"]
        assert [(line["reason"], line["dialect"]) for line in refused] == [("too many checks wait", name)] * 4

    with_rig(scenario, most=3, limits={"anonymous": ["400/hour"]})


@pytest.mark.parametrize("name", PROXIES)
def test_those_that_need_not_wait_are_answered_as_ever(name: str) -> None:
    """To the byte as while nobody waits: no flood of checks that wait keeps these from their answers."""

    async def scenario(rig: SharedRig) -> None:
        key, spent = await known_key(rig), await known_key(rig, tier="tight")
        assert (await rig.ask("/v1/x", key=spent)).code == "rate_limited"
        rig.shared.deaf = True

        def ask_all() -> dict[str, Reply]:
            return {
                "missing_key": at_once(rig, name),
                "invalid_key": at_once(rig, name, key=forged(key.encode()).decode()),
                "rate_limited": at_once(rig, name, key=spent),
                "route_denied": at_once(rig, name, "/private/x", key=key),
                "ambiguous_path": at_once(rig, name, "/v1//x", key=key),
                "allowed": at_once(rig, name, "/open/x"),
            }

        before = ask_all()
        wait(rig, key)
        assert at_once(rig, name, key=key).code == "overloaded"
        assert ask_all() == before
        assert {code: reply.code for code, reply in before.items()} == {code: code for code in before}

    with_rig(scenario, most=1)


@pytest.mark.parametrize("name", PROXIES)
def test_a_known_key_need_not_wait_on_the_embedded_store(name: str) -> None:
    """There only a key that was not seen before waits, and only another such one is refused."""

    async def scenario() -> None:
        rig = Rig(throttle={"max_checks": 1})
        try:
            key = await known_key(rig)
            cold = [(await rig.issue())[0] for _ in range(2)]
            rig.store.held = asyncio.Event()
            answers = wait(rig, cold[0])
            assert at_once(rig, name, key=cold[1]).code == "overloaded"
            assert [at_once(rig, name, key=key).status for _ in range(5)] == [200] * 5
            rig.store.held.set()
            await eventually(lambda: bool(answers))
            assert (answers[0].status, rig.responder.waiting) == (200, 0)
        finally:
            rig.hasher.close()

    asyncio.run(scenario())


def test_a_check_that_nobody_awaits_any_more_counts_until_it_is_decided() -> None:
    """Where an ASGI server gives up on a request: the store is still at work for it."""

    async def scenario(rig: SharedRig) -> None:
        key = await known_key(rig)
        rig.shared.deaf = True
        pending = respond(rig, "envoy", key=key)
        assert isinstance(pending, Pending)
        given_up = asyncio.create_task(rig.responder.finish(pending))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert rig.responder.waiting == 1
        assert at_once(rig, "envoy", key=key).code == "overloaded"
        rig.shared.hear_again()
        await eventually(lambda: rig.responder.waiting == 0)
        assert isinstance(respond(rig, "envoy", key=key), Pending)

    with_rig(scenario, most=1)


class Way(NamedTuple):
    """How a check that waits ends: what is planted meanwhile, and the status that comes of it."""

    plant: Callable[[SharedRig], object]
    status: int


def _change_key(rig: SharedRig) -> None:
    """Let another server have changed the key."""
    ((key_id, stored),) = rig.store._stored.items()
    rig.store._stored[key_id] = replace(stored, key=replace(stored.key, version=2))


def _break_reading(rig: SharedRig) -> None:
    _change_key(rig)
    rig.store.get = broken_later  # type: ignore[assignment,method-assign]  # the fault is planted here


def _break_conclusion(rig: SharedRig) -> None:
    rig.checker.conclude = broken  # type: ignore[assignment,method-assign]  # the fault is planted here


def _break_rendering(rig: SharedRig, *, code: str = "") -> None:
    for dialect in rig.dialects:

        def render(
            request: CheckRequest, decision: Decision, whole: Callable[..., Answer] = dialect.render
        ) -> Answer:
            return broken() if decision.code == code or not code else whole(request, decision)

        dialect.render = render  # type: ignore[method-assign]  # the fault is planted here


WAYS = {
    "it is let in": Way(lambda _: None, 200),
    "the store fails": Way(lambda rig: setattr(rig.shared, "failure", StoreError("gone")), 503),
    "its key was changed": Way(_change_key, 200),
    "its key was changed, and can't be read": Way(_break_reading, 503),
    "a fault in the conclusion": Way(_break_conclusion, 503),
    "a fault in rendering that it is let in": Way(lambda rig: _break_rendering(rig, code="allowed"), 503),
    "a fault in rendering anything": Way(_break_rendering, 503),
}


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("way", WAYS)
def test_however_a_check_ends_its_place_is_free_again(way: str, is_known: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Faults included: if each of them took a place along, everybody would be refused in the end."""

    async def scenario(rig: SharedRig) -> None:
        key = await known_key(rig) if is_known else (await rig.issue())[0]
        rig.shared.deaf = True
        answers = wait(rig, key)
        assert rig.responder.waiting == 1
        assert at_once(rig, "envoy", key=key).code == "overloaded"
        WAYS[way].plant(rig)
        rig.shared.hear_again()
        await eventually(lambda: bool(answers))
        assert [answer.status for answer in answers] == [WAYS[way].status]
        assert rig.responder.waiting == 0
        assert isinstance(respond(rig, "envoy", key=key), Pending)

    with_rig(scenario, most=1)


def test_a_reload_changes_how_many_may_wait(tmp_path: Path) -> None:
    """More from the next check on; with fewer than wait already those end well, and nobody joins them."""

    async def scenario(it: Changing) -> None:
        keys = [(await it.world.create_key()).text for _ in range(3)]
        released = it.world.hold_records()

        async def waits(key: str) -> asyncio.Task[Reply]:
            ended = asyncio.create_task(it.end(it.begin(key)))
            await asyncio.sleep(0)
            return ended

        waiting = [await waits(keys[0])]
        assert (await it.world.ask(key=keys[1])).code == "overloaded"
        it.change(throttle={"max_checks": 2})
        waiting.append(await waits(keys[1]))
        it.change(throttle={"max_checks": 1})
        assert (await it.world.ask(key=keys[2])).code == "overloaded"
        assert it.world.app.responder.waiting == 2
        released.set()
        assert [reply.status for reply in await asyncio.gather(*waiting)] == [200, 200]
        assert it.world.app.responder.waiting == 0
        assert (await it.world.ask(key=keys[2])).status == 200

    changing(tmp_path, scenario, throttle={"max_checks": 1})
