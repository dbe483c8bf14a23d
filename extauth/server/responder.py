"""From a request head to an answer, for every HTTP front of the check listener: dialect, check, telemetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from extauth.check import RETRY_SECONDS, Checker
from extauth.clock import Clock
from extauth.dialects.base import Answer, Dialect, RequestHead
from extauth.model import CheckRequest, Code, Decision, Target
from extauth.server.familiar import FamiliarHeads, Question
from extauth.server.refusals import Refusal, refuse
from extauth.telemetry.recorder import Recorder


class Pending(NamedTuple):
    """A check that has to wait for the store or for argon2; `Responder.finish` completes it."""

    dialect: Dialect
    request: CheckRequest
    started_us: int


class Responder:
    """Answers checks, and never raises.

    A fault that nobody foresaw is a 503, logged whole and counted, never an allowed request.
    """

    def __init__(
        self, *, checker: Checker, dialects: Sequence[Dialect], recorder: Recorder, clock: Clock
    ) -> None:
        self._decide = checker.decide
        self._decide_later = checker.decide_later
        self._dialects = tuple((dialect.prefix, dialect) for dialect in dialects)
        self._recorder = recorder
        self._now_us = clock.now_us
        self.familiar = FamiliarHeads()
        self.not_found = 0  # requests for no dialect

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

    def answer(self, question: Question) -> Answer | Pending:
        """Answer at once where that is possible."""
        dialect, request, _ = question
        started_us = self._now_us()
        try:
            decision = self._decide(request, started_us)
            if decision is None:
                return Pending(dialect, request, started_us)
            answer = dialect.render(request, decision)
        except Exception as fault:  # noqa: BLE001 - see above
            return self._fault(dialect, request, fault, started_us)
        self._recorder.record(request, decision, started_us)
        return answer

    async def finish(self, pending: Pending) -> Answer:
        """Answer a check that had to wait."""
        dialect, request, started_us = pending
        try:
            decision = await self._decide_later(request)
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
