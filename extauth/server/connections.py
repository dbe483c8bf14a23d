"""What all connections of the check listener share: limits, counters, outbox, coarse time, and the sweep.

One sweep a second looks at every connection, because a timer for each request would cost more than parsing
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol

SWEEP_EVERY_SECONDS = 1.0
# How often connections that drain are looked at, in seconds.
_LOOK_EVERY_SECONDS = 0.05


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

    def drain(self) -> None:
        """End the connection with the next answer, and say so in it."""
        ...

    def end_if_idle(self) -> None:
        """End the connection unless something was asked, or may have been."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Tell whether something has come that was not read yet: it would be lost with the connection."""
    inner: socket.socket | None = transport.get_extra_info("socket")
    if inner is None or inner.fileno() < 0:
        return False
    (waiting,) = struct.unpack("i", fcntl.ioctl(inner.fileno(), termios.FIONREAD, b"\0" * 4))
    return bool(waiting)


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
        self.draining = False
        self._open: set[Connection] = set()
        self._turned_away: set[Connection] = set()
        # While it drains: those that were there before, and that one of them, or the very last, has ended.
        self._kept: set[Connection] = set()
        self._one_ended = asyncio.Event()

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
        if self.draining and (connection in self._kept or not (self._open or self._turned_away)):
            self._kept.discard(connection)
            self._one_ended.set()

    def drain(self) -> None:
        """Have each connection end with its next answer; again: those that came since the last rest, too."""
        self.draining = True
        self._kept = self._open - self._kept
        for connection in self._open:
            connection.drain()

    async def rest(self, quiet: float, *, within: float) -> float:
        """Wait until those that were there are in use no more, and return how many seconds that took.

        That is: until all of them have ended, or none has for `quiet` seconds, and for `within` at most.
        """
        loop = asyncio.get_running_loop()
        began = last = loop.time()
        while self._kept and (left := min(last + quiet, began + within) - loop.time()) > 0:
            self._one_ended.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._one_ended.wait(), left)
                last = loop.time()
        return loop.time() - began

    async def are_gone(self, within: float, *, idle_go: bool = False) -> bool:
        """Wait until none is left, for so many seconds at most; tell whether that is so.

        Until then the idle ones go where `idle_go` says so. Only for those that drain.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while self._open or self._turned_away:
            if idle_go:
                for connection in tuple(self._open):
                    connection.end_if_idle()
            self._one_ended.clear()
            left = deadline - loop.time()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._one_ended.wait(), min(left, _LOOK_EVERY_SECONDS))
        return True

    def cut(self) -> None:
        """Cut all that are left."""
        for connection in (*self._open, *self._turned_away):
            connection.abort()

    def sweep(self, now: float, wall_seconds: float) -> None:
        """Move the time on, renew the Date line (RFC 9110 section 6.6.1), end what has waited too long."""
        self.now = now
        self.date_line = f"date: {formatdate(wall_seconds, usegmt=True)}\r\n".encode("ascii")
        for connection in [*self._open, *self._turned_away]:
            connection.expire(now)
