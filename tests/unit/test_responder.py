"""A fault that nobody foresaw is a 503 problem, logged whole under its request id, counted, never let in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from extauth.limits.plan import Plan, Take
from extauth.model import Usage
from extauth.stores.limits import Taken
from extauth.throttle.claims import Claim
from tests.answers import Reply
from tests.checking import Rig
from tests.dialects import PROXIES
from tests.logs import logging_to

HEADERS = {b"host": b"api.example.com", b"x-request-id": b"r-77"}
ROUTES = [{"path": "/open/**", "auth": "none"}]


class PlantedError(Exception):
    """What no part of extauth raises."""


def broken(*_arguments: Any, **_named: Any) -> NoReturn:
    """Stand in for anything."""
    raise PlantedError("planted")


async def broken_later(*_arguments: Any) -> NoReturn:
    """Stand in for anything that is awaited."""
    raise PlantedError("planted")


class BrokenLimits:
    """A limit store that fails as no store should."""

    def acquire(self, plan: Plan, now_us: int, claim: Claim | None = None, *, may_wait: bool = True) -> Taken:
        """Fail."""
        return broken(plan, now_us, claim, may_wait)

    def violate(self, cool_down: Take, now_us: int) -> Usage:
        """Fail."""
        return broken(cool_down, now_us)


def faulty(rig: Rig, name: str, path: bytes = b"/open/x", **headers: bytes) -> Reply:
    """Ask through one proxy; expect the 503, and one fault, logged whole under the request's id."""
    rig.lines.taken.clear()
    rig.counts.faults["check"] = 0
    lines = {**HEADERS, **{name.replace("_", "-").encode(): value for name, value in headers.items()}}
    with logging_to(rig.lines):
        reply = PROXIES[name].told(asyncio.run(rig.answer(PROXIES[name].ask(b"GET", path, lines))))
    assert (reply.status, reply.code) == (503, "internal_error")
    assert reply.headers["retry-after"] == "1"
    assert not {header for header in reply.headers if header.startswith(("x-auth-", "x-ratelimit"))}
    assert b"planted" not in reply.body
    assert b"Traceback" not in reply.body
    (fault,) = rig.lines.events("fault")
    assert fault["level"] == "error"
    assert "Traceback" in fault["exception"]
    assert fault["exception"].endswith("PlantedError: planted")
    assert fault["request_id"] == reply.problem["request_id"]
    assert rig.counts.faults["check"] == 1
    return reply


def issued(rig: Rig, **changes: Any) -> bytes:
    """Put a key in the store, and return its text."""
    return asyncio.run(rig.issue(**changes))[0].encode()


def decisions(rig: Rig) -> list[dict[str, Any]]:
    """Return the decision lines."""
    rig.recorder.flush()
    return rig.lines.events("decision")


@pytest.fixture(params=list(PROXIES))
def name(request: pytest.FixtureRequest) -> str:
    """Give one dialect after the other."""
    return str(request.param)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Give a rig with an open route: what could be let in by mistake."""
    made = Rig(routes=ROUTES)
    yield made
    made.hasher.close()


def test_a_fault_in_the_check(rig: Rig, name: str) -> None:
    """The decision that is logged and counted is that it could not be made."""
    rig.responder._decide = broken
    reply = faulty(rig, name)
    assert reply.problem["request_id"] == "r-77"
    (decision,) = decisions(rig)
    assert (decision["code"], decision["reason"], decision["request_id"]) == (
        "internal_error",
        "PlantedError",
        "r-77",
    )
    assert decision["level"] == "error"


def test_a_fault_in_the_limits(name: str) -> None:
    """A valid key is not let in because its limits can't be counted."""
    rig = Rig(limits=BrokenLimits())
    text = issued(rig)
    # The second time the key is at hand, and the fault comes before any waiting.
    for _ in range(2):
        faulty(rig, name, b"/x", x_api_key=text)
    rig.hasher.close()


def test_a_fault_in_the_key_store(rig: Rig, name: str) -> None:
    """One that is no StoreError: found while the check waits."""
    text = issued(rig)
    rig.store.get = broken_later  # type: ignore[assignment,method-assign]  # the fault is planted here
    faulty(rig, name, b"/x", x_api_key=text)


def test_a_fault_in_reading_the_request(rig: Rig, name: str) -> None:
    """Nothing is known of the request then, not even its id."""
    for dialect in rig.dialects:
        dialect.parse = broken  # type: ignore[method-assign]  # the fault is planted here
    assert faulty(rig, name).problem["request_id"] == "unknown"


def test_a_fault_in_rendering_the_allowed_answer(rig: Rig, name: str) -> None:
    """Decided, and yet not let in: the answer that says so could not be written."""
    (dialect,) = [dialect for dialect in rig.dialects if dialect.name == name]
    render = dialect.render
    dialect.render = lambda request, decision: (  # type: ignore[method-assign]  # the fault is planted here
        broken() if decision.code == "allowed" else render(request, decision)
    )
    faulty(rig, name)


def test_a_fault_in_rendering_anything(rig: Rig) -> None:
    """Where not even the refusal can be written there is still a 503, and no way in."""
    for dialect in rig.dialects:
        dialect.render = broken  # type: ignore[method-assign]  # the fault is planted here
    for name, proxy in PROXIES.items():
        with logging_to(rig.lines):
            answer = asyncio.run(rig.answer(proxy.ask(b"GET", b"/open/x", HEADERS)))
        assert answer.status == 503, name
        assert b"x-auth-" not in answer.head
        assert b"planted" not in answer.body
    assert rig.counts.faults["check"] >= 2


def test_a_fault_is_not_the_end(rig: Rig, name: str) -> None:
    """The next request is answered as ever."""
    decide, rig.responder._decide = rig.responder._decide, broken
    faulty(rig, name)
    rig.responder._decide = decide
    reply = PROXIES[name].told(asyncio.run(rig.answer(PROXIES[name].ask(b"GET", b"/open/x", HEADERS))))
    assert reply.status == 200


def test_a_key_whose_tier_is_gone_is_not_let_in(rig: Rig, name: str) -> None:
    """Nobody can say what its limits are; its owner is not told that the key is invalid."""
    lines = {**HEADERS, b"x-api-key": issued(rig, tier="discontinued")}
    for _ in range(2):
        with logging_to(rig.lines):
            reply = PROXIES[name].told(asyncio.run(rig.answer(PROXIES[name].ask(b"GET", b"/x", lines))))
        assert reply.status == 503
