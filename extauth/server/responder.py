"""From a request head to an answer, for every HTTP front of the check listener: dialect, check, telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from extauth.check import Asked, Checker
from extauth.clock import Clock
from extauth.decisions import RETRY_SECONDS
from extauth.dialects.base import Answer, Dialect, RequestHead
from extauth.model import CheckRequest, Code, Decision, Target
from extauth.server.familiar import FamiliarHeads, PlainQuestion, Question
from extauth.server.refusals import Refusal, refuse
from extauth.stores.limits import Told
from extauth.telemetry.recorder import Recorder
from extauth.throttle.claims import Claim


class Pending(NamedTuple):
    """A check that has to wait for the store or for argon2; `Responder.begin` completes it.

    `done` gets the answer. `asked` is what the shared store has to be asked, None where the key has to be
    looked up first. Checker and dialect are those that it began with: others may have taken their places by
    the time it is answered.
    """

    responder: Responder
    done: Callable[[Answer], None]
    dialect: Dialect
    request: CheckRequest
    started_us: int
    asked: Asked | None
    checker: Checker

    def hear(self, told: Told) -> None:
        """Hear what the store says."""
        self.responder.told(self, told)


def _nobody(_answer: Answer) -> None:
    """Stand in for who waits, until somebody does."""


class Responder:
    """Answers checks, and never raises.

    A fault that nobody foresaw is a 503, logged whole and counted, never an allowed request. At most
    `max_checks` wait at a time, whether or not their clients still do; one more that would have to is a 503
    at once. Those that only wait for a slot, `queued` of them, don't count: they cost nothing meanwhile.
    """

    def __init__(
        self,
        *,
        checker: Checker,
        dialects: Sequence[Dialect],
        recorder: Recorder,
        clock: Clock,
        max_checks: int,
        queued: Callable[[], int] = lambda: 0,
    ) -> None:
        self._queued = queued
        self._checker = checker
        self._decide = checker.decide
        self._looking_up: set[asyncio.Task[None]] = set()
        self._dialects = tuple((dialect.prefix, dialect) for dialect in dialects)
        self._recorder = recorder
        self._now_us = clock.now_us
        self.familiar = FamiliarHeads()
        self.not_found = 0  # requests for no dialect
        self._max_checks = max_checks
        self._begun = 0  # checks that are not answered yet
        self.crowded_out = 0  # checks refused because too many waited
        self._claims: dict[int, Claim] = {}  # of checks whose keys are looked up

    @property
    def waiting(self) -> int:
        """How many checks wait for the store or for argon2."""
        return self._begun - self._queued()

    def go_by(self, checker: Checker, dialects: Sequence[Dialect], *, max_checks: int) -> None:
        """Answer all checks that begin from now on with these; those under way end as they began."""
        self._max_checks = max_checks
        self._checker.retired = True
        self._checker = checker
        self._decide = checker.decide
        self._dialects = tuple((dialect.prefix, dialect) for dialect in dialects)
        # What is remembered of heads names the dialects that read them.
        self.familiar.forget()

    def respond(self, head: RequestHead) -> Answer | Pending:
        """Read and answer, at once where that is possible."""
        question = self.read(head)
        return self.answer(question) if isinstance(question, Question) else question

    def read(self, head: RequestHead) -> Question | Answer:
        """Return the check that a request asks for, or the answer where there is none in it."""
        target = head.target
        for prefix, dialect in self._dialects:
            if target.startswith(prefix):
                try:
                    return Question(dialect, dialect.parse(head), head.method)
                except Exception as fault:  # noqa: BLE001 - whatever it is, nobody is let in unanswered
                    return self._fault(dialect, _unread(dialect), fault, self._now_us())
        self.not_found += 1
        return refuse(Refusal.NOT_FOUND)

    def answer(self, question: PlainQuestion, done: Callable[[Answer], None] = _nobody) -> Answer | Pending:
        """Answer at once where that is possible.

        Else, once it was begun, `done` gets the answer in a later turn of the loop.
        """
        dialect, request, _ = question
        started_us = self._now_us()
        try:
            decision = self._decide(request, started_us)
            if not isinstance(decision, Decision):
                if self._begun >= self._max_checks and self._is_crowded(decision):
                    return self._crowd_out(dialect, request, started_us)
                fields = (self, done, dialect, request, started_us, decision, self._checker)
                return tuple.__new__(Pending, fields)
            answer = dialect.render(request, decision)
        except Exception as fault:  # noqa: BLE001 - see above
            return self._fault(dialect, request, fault, started_us)
        self._recorder.record(request, decision, started_us)
        return answer

    def _is_crowded(self, asked: Asked | None) -> bool:
        """Tell whether there is no room for one more that waits; one that waits for a slot needs none."""
        return self.waiting >= self._max_checks and (asked is None or asked.taken is None)

    def _crowd_out(self, dialect: Dialect, request: CheckRequest, started_us: int) -> Answer:
        decision = self._checker.crowded_out(request)
        answer = dialect.render(request, decision)
        self.crowded_out += 1
        self._recorder.record(request, decision, started_us)
        return answer

    def begin(self, pending: Pending) -> None:
        """See to a check that has to wait."""
        if pending.asked is None:
            self._look_up(pending)
        else:
            # A partial function has a dictionary: it takes longer to make, and to call, than this method.
            pending.checker.ask(pending.asked, pending.hear)
        self._begun += 1

    def abandon(self, pending: Pending | None) -> None:
        """Hear that nobody waits for the answer of a check that was begun: it holds and takes no slot."""
        if pending is None:
            return
        claim = self._claims.get(id(pending.request))
        if claim is None and pending.asked is not None:
            claim = pending.asked.claim
        if claim is not None:
            claim.leave()

    async def finish(self, pending: Pending) -> Answer:
        """Answer a check that has to wait."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.begin(pending._replace(done=lambda said: None if answer.done() else answer.set_result(said)))
        return await answer

    def told(self, pending: Pending, told: Told) -> None:
        """Answer a check about which the store has spoken."""
        _, done, dialect, request, started_us, asked, checker = pending
        assert asked is not None  # else nobody told anything
        try:
            now_us = self._now_us()
            decision = checker.conclude(asked, told, now_us)
            if decision is None:
                self._look_up(pending)
                return
            answer = dialect.render(request, decision)
        except Exception as fault:  # noqa: BLE001 - see `respond`
            self._begun -= 1
            done(self._fault(dialect, request, fault, started_us))
            return
        # First, for what comes next on the same connection may have to wait in its place.
        self._begun -= 1
        self._recorder.record(request, decision, started_us, now_us)
        done(answer)

    def _look_up(self, pending: Pending) -> None:
        claim = self._claims[id(pending.request)] = pending.checker.claim(pending.request)
        task = asyncio.get_running_loop().create_task(self._answer_later(pending, claim))
        self._looking_up.add(task)
        task.add_done_callback(self._looking_up.discard)

    async def _answer_later(self, pending: Pending, claim: Claim) -> None:
        try:
            answer = await self._looked_up(pending, claim)
        finally:
            self._begun -= 1
            del self._claims[id(pending.request)]
        pending.done(answer)

    async def _looked_up(self, pending: Pending, claim: Claim) -> Answer:
        _, _, dialect, request, started_us, _, checker = pending
        try:
            decision = await checker.decide_later(request, claim, self._now_us() - started_us)
            answer = dialect.render(request, decision)
        except Exception as fault:  # noqa: BLE001 - see `respond`
            return self._fault(dialect, request, fault, started_us)
        self._recorder.record(request, decision, started_us)
        return answer

    def _fault(self, dialect: Dialect, request: CheckRequest, fault: Exception, started_us: int) -> Answer:
        decision = Decision(Code.INTERNAL_ERROR, retry_after=RETRY_SECONDS, reason=type(fault).__name__)
        self._recorder.fault(request, fault)
        self._recorder.record(request, decision, started_us)
        try:
            return dialect.render(request, decision)
        except Exception as second:  # noqa: BLE001 - the fault may be in the renderer itself
            self._recorder.fault(request, second)
            return refuse(Refusal.FAULT)


def _unread(dialect: Dialect) -> CheckRequest:
    """Stand in for a request that could not be read."""
    return CheckRequest(dialect.name, Target("", "", ""), None, (), "", "unknown")
