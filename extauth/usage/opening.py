"""Begins to count usage: one part of what `app.py` puts together."""

from __future__ import annotations

from contextlib import AsyncExitStack

from extauth.clock import Clock
from extauth.server.process import spawn
from extauth.stores.usage import UsageStore
from extauth.throttle.claims import Claims
from extauth.usage.takeover import Takeover
from extauth.usage.tracker import UsageTracker


def count_usage(
    stack: AsyncExitStack, store: UsageStore, claims: Claims, clock: Clock, *, processes: int
) -> UsageTracker:
    """Return what counts, and writes until the stack closes, in one of so many processes of a server."""
    tracker = UsageTracker(store, process=claims.process, clock=clock, processes=processes)
    tracker.start()
    stack.push_async_callback(tracker.close)
    spawn(stack, Takeover(store).run())
    return tracker
