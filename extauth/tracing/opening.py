"""What answers and records checks: with traces or, where they are off, the plain classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from extauth.clock import Clock
from extauth.server.process import spawn
from extauth.server.responder import Responder
from extauth.settings.tracing import TracingSettings
from extauth.telemetry.recorder import Recorder


class Tracing(NamedTuple):
    """How responder and recorder are made, and what became of traced checks."""

    responder: Callable[..., Responder]
    recorder: Callable[..., Recorder]
    checks: Counter[str]


def open_tracing(stack: AsyncExitStack, settings: TracingSettings, clock: Clock) -> Tracing:
    """Open what sends traces, if there is somebody to send them to, until the stack is left."""
    if settings.endpoint is None:
        return Tracing(Responder, Recorder, Counter(sent=0, full=0, failed=0))
    # Nobody loads what belongs to traces who has none.
    from extauth.tracing.exporter import SpanExporter  # noqa: PLC0415 - see above
    from extauth.tracing.tracer import TracedRecorder, TracedResponder, Tracer  # noqa: PLC0415 - see above

    exporter = SpanExporter(settings.endpoint, settings.service_name)
    stack.push_async_callback(exporter.close)
    spawn(stack, exporter.run())
    tracer = Tracer(exporter, clock)
    return Tracing(partial(TracedResponder, tracer), partial(TracedRecorder, tracer), exporter.checks)
