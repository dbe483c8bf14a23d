"""Where log lines go.

A buffer in memory, written by a thread every 50 ms and at the end, so that a slow disk or pipe stalls no
check.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

WRITE_EVERY_SECONDS = 0.05
# While the reader of the log stands still this much is kept, in bytes; what comes then is dropped and
# counted.
CAPACITY = 8 * 1024 * 1024
# How long the end of the process waits for a reader that stands still, in seconds.
LAST_WRITE_SECONDS = 2.0


class LineWriter:
    """Takes whole lines and writes them to a file descriptor, in order and never torn."""

    def __init__(self, descriptor: int, *, capacity: int = CAPACITY) -> None:
        self._descriptor = descriptor
        self._capacity = capacity
        self._lines: list[bytes] = []
        self._size = 0
        self._in_flight = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._sources: list[Callable[[], None]] = []
        self.dropped = 0

    def add_source(self, bring: Callable[[], None]) -> None:
        """Have something called before each write that may still hold lines back."""
        self._sources.append(bring)

    def write(self, line: bytes) -> None:
        """Take one line, ended by a line feed."""
        size = len(line)
        if self._size + size > self._capacity:
            self.dropped += 1
            return
        self._size += size
        self._lines.append(line)

    async def run(self) -> None:
        """Write again and again until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is. Lines that come meanwhile wait for the next time."""
        for bring in self._sources:
            bring()
        if not self._lines:
            return
        chunk = b"".join(self._lines)
        self._lines.clear()
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._write_all, chunk)
        finally:
            # Only now is there room again: what is being written counts against the capacity too.
            self._size -= len(chunk)

    async def close(self) -> None:
        """Write the rest, unless the reader stands still."""
        try:
            await asyncio.wait_for(asyncio.shield(self.flush()), LAST_WRITE_SECONDS)
        except TimeoutError:
            self.dropped += len(self._lines)
        self._pool.shutdown(wait=False)

    def _write_all(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            # Nobody reads the log any more (EPIPE), or the disk is full: checks go on, and the metric tells.
            self.dropped += bytes(rest).count(b"\n")
