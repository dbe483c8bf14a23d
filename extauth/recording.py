"""The part of the composition root that records decisions: counts, lines, uses of keys, usage."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import NamedTuple, TypeVar

from extauth.compiled import DIALECTS
from extauth.configured import Parts
from extauth.keys.shadows import ShadowTracker
from extauth.keys.uses import UseTracker
from extauth.server.process import spawn
from extauth.settings.model import Settings
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder
from extauth.tracing.opening import Tracing, open_tracing
from extauth.usage.opening import count_usage

AnyTracker = TypeVar("AnyTracker", UseTracker, ShadowTracker)


class Recording(NamedTuple):
    """What records decisions, what is counted of them, and what follows those that are traced."""

    recorder: Recorder
    counts: CheckCounts
    tracing: Tracing


def open_recording(stack: AsyncExitStack, settings: Settings, lines: LineWriter, parts: Parts) -> Recording:
    """Open what counts and logs decisions, and notes what follows from them, until the stack is left."""
    counts, tracing = CheckCounts(DIALECTS), open_tracing(stack, settings.tracing, parts.clock)
    usage = None
    if settings.usage.enabled:
        usage = count_usage(stack, parts.usage, parts.claims, parts.clock, processes=settings.workers)
    recorder = tracing.recorder(
        counts=counts,
        lines=lines,
        clock=parts.clock,
        level=settings.log.level,
        allowed_sample=settings.log.allowed_sample,
        uses=parts.uses,
        shadows=running(stack, ShadowTracker(parts.management.store)),
        usage=usage,
    )
    # Decisions that are noted and not yet counted count as uses too, as usage, and as refusals in shadow.
    stack.callback(recorder.flush)
    lines.add_source(recorder.flush)
    return Recording(recorder, counts, tracing)


def running(stack: AsyncExitStack, tracker: AnyTracker) -> AnyTracker:
    """Have it write what it notes, until the stack is left."""
    stack.push_async_callback(tracker.close)
    spawn(stack, tracker.run())
    return tracker
