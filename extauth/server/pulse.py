"""Whether the workers of a server get the processor when they want it.

One that doesn't leaves reports unread that have come, while others answer checks. So each beats often while
reports come, notes how late it was, and all see that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from extauth.server.board import Board

# How often a worker beats, and for how long after a report.
EVERY_MS = 10
ACTIVE_MS = 1_000
# A beat that comes so much later than it should was late; so much is not for want of the processor.
LATE_MS = 10
# For how long after that the server counts as late: what held it up holds up its proxy as well.
REMEMBERED_MS = 1_000
# What seems longer ago is yet to come.
_LONGEST_MS = 0x7FFFFFFF


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000


class Pulse:
    """That of one worker, and what it sees of all of them. It must be made on the running loop."""

    def __init__(self, board: Board, worker: int, *, now_ms: Callable[[], int] = _milliseconds) -> None:
        self._board = board
        self._worker = worker
        self._now_ms = now_ms
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._until_ms = 0
        self._due_ms = 0

    def quicken(self) -> None:
        """Beat for a while: reports come."""
        now_ms = self._now_ms()
        self._until_ms = now_ms + ACTIVE_MS
        if self._timer is None:
            self._begin(now_ms)

    def _begin(self, now_ms: int) -> None:
        self._board.beat(self._worker, now_ms)
        self._due_ms = now_ms + EVERY_MS
        self._timer = self._loop.call_later(EVERY_MS / 1_000, self._beat)

    def _beat(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._due_ms > LATE_MS:
            self._board.beat(self._worker, now_ms, is_late=True)
        if now_ms < self._until_ms:
            self._begin(now_ms)
        else:
            self.close()

    def close(self) -> None:
        """Beat no more, which others don't take for being late."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._board.beat(self._worker, 0)

    def is_late(self) -> bool:
        """Tell whether a worker of this server was late within the last second, or is now."""
        now_ms = self._now_ms()
        overdue = EVERY_MS + LATE_MS
        return any(beat and _since(beat, now_ms) > overdue for beat in self._board.beats()) or any(
            late and _since(late, now_ms) < REMEMBERED_MS for late in self._board.last_late()
        )


def _since(then_ms: int, now_ms: int) -> int:
    """Return how long ago that was; the board has 32 bits of a time.

    Another worker may have beaten since `now_ms` was read: that is no time ago.
    """
    since_ms = (now_ms - then_ms) & 0xFFFFFFFF
    return 0 if since_ms > _LONGEST_MS else since_ms
