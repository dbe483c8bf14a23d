"""Which checks are traced, and what they wait for: put around responder and recorder where traces are on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from extauth.clock import Clock
from extauth.model import CheckRequest, Decision
from extauth.parts import TIMELINE, Part, Timeline
from extauth.server.responder import Pending, Responder
from extauth.stores.limits import Told
from extauth.telemetry.recorder import Recorder
from extauth.tracing.context import read_context
from extauth.tracing.exporter import SpanExporter
from extauth.tracing.spans import Checked


class Tracer:
    """Follows the checks whose proxies say that their trace is recorded."""

    def __init__(self, exporter: SpanExporter, clock: Clock) -> None:
        self._exporter = exporter
        self._now_us = clock.now_us
        # Of checks that wait, by the identity of their requests.
        self._timelines: dict[int, Timeline] = {}

    def follow(self, request: CheckRequest) -> Timeline | None:
        """Note from now on what a check waits for; None where its trace is not recorded."""
        context = read_context(request.trace) if request.trace else None
        if context is None or not context.is_sampled:
            return None
        return self._timelines.setdefault(id(request), Timeline(self._now_us))

    def end(self, request: CheckRequest, decision: Decision, began_us: int) -> None:
        """Hand on what became of a check, if it is traced."""
        timeline = self._timelines.pop(id(request), None) if self._timelines else None
        context = read_context(request.trace) if request.trace else None
        if context is None or not context.is_sampled:
            return
        parts = [] if timeline is None else timeline.parts
        self._exporter.put(Checked(context, request, decision, began_us, self._now_us(), parts))


class TracedRecorder(Recorder):
    """A recorder that tells the tracer too."""

    def __init__(self, tracer: Tracer, **options: Any) -> None:
        super().__init__(**options)
        self._tracer = tracer

    def record(
        self, request: CheckRequest, decision: Decision, started_us: int, decided_us: int | None = None
    ) -> None:
        """Note a decision, and its span. See `Recorder`."""
        super().record(request, decision, started_us, decided_us)
        self._tracer.end(request, decision, started_us)


class TracedResponder(Responder):
    """A responder that notes what traced checks wait for."""

    def __init__(self, tracer: Tracer, **options: Any) -> None:
        super().__init__(**options)
        self._tracer = tracer

    def begin(self, pending: Pending) -> None:
        """See to a check that has to wait. See `Responder`."""
        timeline = self._tracer.follow(pending.request)
        if timeline is not None and pending.asked is not None:
            timeline.parts.append(Part(pending.asked.part, timeline.now_us(), 0))
        with _current(timeline):
            super().begin(pending)

    def told(self, pending: Pending, told: Told) -> None:
        """Answer a check about which the store has spoken. See `Responder`."""
        timeline = self._tracer.follow(pending.request)
        if timeline is not None:
            asked = timeline.parts.pop()
            timeline.parts.append(asked._replace(ended_us=timeline.now_us()))
        # A key that changed is looked up after that.
        with _current(timeline):
            super().told(pending, told)


@contextmanager
def _current(timeline: Timeline | None) -> Iterator[None]:
    """Have tasks that begin inside note their parts there."""
    token = TIMELINE.set(timeline)
    try:
        yield
    finally:
        TIMELINE.reset(token)
