"""Waiting for what another thread or process does: polling with a deadline, never a sleep for effect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_POLL_SECONDS = 0.005


async def eventually(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    """Let the event loop turn until the condition holds; an AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(_POLL_SECONDS)
