"""What all connections of the check listener share: limits, counters, outbox, coarse time, and the sweep.

One sweep a second looks at every connection, because a timer for each request would cost more than parsing
it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol

SWEEP_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How much one client may ask of the listener; sizes in bytes, times in seconds."""

    head_bytes: int = 32_768
    head_lines: int = 100
    connections: int = 10_000
    idle_seconds: float = 75.0
    head_seconds: float = 10.0


class Connection(Protocol):
    """What the sweep needs of a connection."""

    def expire(self, now: float) -> None:
        """End the connection if it has been idle, slow or deaf for too long."""
        ...


class Outbox:
    """Holds the answers of one turn of the event loop back and writes them together.

    Written one by one, each answer would wake the proxy for a single read; that costs more than the check
    itself. Afterwards comes what can wait until the answers are out.
    """

    def __init__(self, afterwards: Callable[[], None] = lambda: None) -> None:
        self._afterwards = afterwards
        self._answers: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Take an answer; those of one connection stay in order."""
        answers = self._answers
        if not answers:
            asyncio.get_running_loop().call_soon(self.flush)
        answers.append((transport, answer))

    def flush(self) -> None:
        """Write what there is."""
        answers, self._answers = self._answers, []
        for transport, answer in answers:
            # The peer may have left since; writing to a closed transport would raise, and keep the others
            # waiting.
            if not transport.is_closing():
                transport.write(answer)
        self._afterwards()


class Connections:
    """All open connections of one listener.

    `now` is the time of the last sweep, in seconds of a clock that never jumps.
    """

    def __init__(
        self, limits: ConnectionLimits, *, now: float, afterwards: Callable[[], None] = lambda: None
    ) -> None:
        self.limits = limits
        self.outbox = Outbox(afterwards)
        self.now = now
        self.date_line = b""
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._turned_away: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """Count a new connection; False where there is no room for it."""
        self.accepted += 1
        if len(self._open) >= self.limits.connections:
            self._turned_away.add(connection)
            return False
        self._open.add(connection)
        return True

    def discard(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.discard(connection)
        self._turned_away.discard(connection)

    def sweep(self, now: float, wall_seconds: float) -> None:
        """Move the time on, renew the Date line (RFC 9110 section 6.6.1), end what has waited too long."""
        self.now = now
        self.date_line = f"date: {formatdate(wall_seconds, usegmt=True)}\r\n".encode("ascii")
        for connection in [*self._open, *self._turned_away]:
            connection.expire(now)
