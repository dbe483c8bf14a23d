"""The checks that wait are counted exactly, in whatever order they come and however they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.check import Asked, Checker
from extauth.dialects.base import Answer, RequestHead
from extauth.limits.plan import Plan
from extauth.model import CheckRequest, Code, Decision
from extauth.routes import Access, Route
from extauth.server.responder import Pending, Responder
from extauth.stores.limits import OnTold, Told
from extauth.throttle.claims import Claim
from tests.checking import Rig
from tests.logs import logging_to

HEAD = {b"host": b"h"}
ROUTE = Route(name="r", access=Access.NONE)
# What a check may end with; only a store says that a key was changed, and then it is looked up.
ENDS = ["decided", "fault", "unrenderable", "nobody listens", "changed"]
STEPS = st.lists(
    st.tuples(st.just("come"), st.sampled_from(["/asked", "/unknown"]))
    | st.tuples(st.just("end"), st.tuples(st.integers(0, 100), st.sampled_from(ENDS)))
    | st.tuples(st.just("allow"), st.integers(1, 4)),
    max_size=40,
)


class PlantedError(Exception):
    """What no part of extauth raises."""


class Held:
    """A checker that decides nothing until a test says how: `held` are the ways to say it, oldest first."""

    def __init__(self) -> None:
        self.retired = False
        self.held: list[Callable[[str], object]] = []

    def decide(self, request: CheckRequest, _now_us: int) -> Asked | None:
        """Have the check wait."""
        return Asked(None, ROUTE, Plan(())) if request.target.path == "/asked" else None

    def ask(self, _asked: Asked, on_told: OnTold) -> None:
        """Wait until a test tells."""

        def tell(how: str) -> None:
            with contextlib.suppress(PlantedError):
                on_told(cast("Told", how))

        self.held.append(tell)

    def conclude(self, _asked: Asked, told: Told, _now_us: int) -> Decision | None:
        """Decide as was told."""
        return None if cast("str", told) == "changed" else _ended(cast("str", told))

    def claim(self, request: CheckRequest) -> Claim:
        """Name the check."""
        return Claim("a-0", request.request_id)

    async def decide_later(self, _request: CheckRequest, _claim: Claim, _waited_us: int = 0) -> Decision:
        """Wait until a test tells, and decide so."""
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.held.append(told.set_result)
        return _ended(await told)

    def crowded_out(self, _request: CheckRequest) -> Decision:
        """Refuse."""
        return Decision(Code.OVERLOADED, retry_after=1)


def _ended(how: str) -> Decision:
    if how == "fault":
        raise PlantedError
    return Decision(Code.ALLOWED if how == "unrenderable" else Code.ROUTE_DENIED, reason=how)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Give dialects and a recorder; an allowed check can't be rendered by them."""
    made = Rig()
    for dialect in made.dialects:

        def render(
            request: CheckRequest, decision: Decision, whole: Callable[..., Answer] = dialect.render
        ) -> Answer:
            if decision.code is Code.ALLOWED:
                raise PlantedError
            return whole(request, decision)

        dialect.render = render  # type: ignore[method-assign]  # the fault is planted here
    yield made
    made.hasher.close()


class Crowd:
    """Checks of one responder, and how many of them wait by the book."""

    def __init__(self, rig: Rig) -> None:
        self.checker = Held()
        self._dialects = rig.dialects
        self.most = 2
        self.waiting = self.crowded_out = self.answered = 0
        self.responder = Responder(
            checker=cast("Checker", self.checker),
            dialects=rig.dialects,
            recorder=rig.recorder,
            clock=rig.clock,
            max_checks=self.most,
        )

    def come(self, path: str) -> None:
        """Have a check come, which has to wait."""
        answer = self.responder.respond(RequestHead(b"GET", b"/envoy" + path.encode(), HEAD))
        if self.waiting < self.most:
            assert isinstance(answer, Pending)
            self.responder.begin(answer._replace(done=self._answered))
            self.waiting += 1
        else:
            assert isinstance(answer, Answer)
            self.crowded_out += 1

    def end(self, which: int, how: str) -> None:
        """End one of those that wait."""
        if not self.checker.held:
            return
        tell = self.checker.held.pop(which % len(self.checker.held))
        looked_up = getattr(tell, "__name__", "") == "set_result"
        self._listens = how != "nobody listens"
        tell("decided" if looked_up and how == "changed" else how)
        if how != "changed" or looked_up:
            self.waiting -= 1

    def allow(self, most: int) -> None:
        """Let so many wait from now on."""
        self.most = most
        self.responder.go_by(cast("Checker", self.checker), self._dialects, max_checks=most)

    def _answered(self, _answer: Answer) -> None:
        self.answered += 1
        if not self._listens:
            raise PlantedError


async def settled() -> None:
    """Let a check that was told get through the few turns of the loop that it takes."""
    for _ in range(5):
        await asyncio.sleep(0)


@given(steps=STEPS)
def test_they_are_counted_exactly(rig: Rig, steps: list[tuple[str, Any]]) -> None:
    """Never too few, so that more could wait, nor too many, so that checks would be refused for nobody."""

    async def run() -> None:
        # What those who listen raise is theirs.
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        crowd = Crowd(rig)
        for step, argument in [*steps, *[("end", (0, "decided"))] * crowd_at_most(steps)]:
            getattr(crowd, step)(*(argument if isinstance(argument, tuple) else (argument,)))
            await settled()
            assert crowd.responder.waiting == crowd.waiting == len(crowd.checker.held)
            assert crowd.responder.crowded_out == crowd.crowded_out
        assert crowd.responder.waiting == 0
        assert crowd.answered + crowd.crowded_out == sum(step == "come" for step, _ in steps)

    with logging_to(rig.lines):
        asyncio.run(run())


def crowd_at_most(steps: list[tuple[str, Any]]) -> int:
    """Return how many can wait at the end at most."""
    return sum(step == "come" for step, _ in steps)
