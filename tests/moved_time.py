"""An event loop whose clock jumps to whatever is due next: hours of pauses pass at once, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self._now = max(self._now, loop._scheduled[0].when())
        run_once: Callable[[], None] = super()._run_once  # type: ignore[misc]  # asyncio's own, and no part of its interface
        run_once()


def run_in_moved_time(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario that waits for nothing but pauses and its own tasks."""

    async def whole() -> None:
        await scenario()

    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        runner.run(whole())
