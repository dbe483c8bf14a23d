"""Where log lines go: a buffer in memory that a thread writes every 50 ms and at the end.

A slow disk or a pipe that nobody reads stalls no check, and not the end of the process either.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue

WRITE_EVERY_SECONDS = 0.05
# While the reader of the log stands still this much is kept, in bytes; what comes then is dropped.
CAPACITY = 8 * 1024 * 1024
# How long the end of the process waits for a reader that stands still, in seconds.
LAST_WRITE_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.002
_END = b""


class LineWriter:
    """Takes whole lines and writes them to a file descriptor, in order and never torn.

    `turn` is held while it writes: where other processes write there too it keeps their lines apart.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        capacity: int = CAPACITY,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._descriptor = descriptor
        self._turn = turn
        self._capacity = capacity
        self._lines: list[bytes] = []
        self._sources: list[Callable[[], None]] = []
        # In bytes. Each is changed by one thread only, so that no lock is needed.
        self._taken = 0
        self._written = 0
        self._refused_lines = 0
        self._lost_lines = 0
        self._chunks: SimpleQueue[bytes] = SimpleQueue()
        # A daemon, because one that hangs in a write would keep the process from ending.
        self._thread = threading.Thread(target=self._write_chunks, name="log", daemon=True)

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        return self._refused_lines + self._lost_lines

    def add_source(self, bring: Callable[[], None]) -> None:
        """Have something called before each write that may still hold lines back."""
        self._sources.append(bring)

    def write(self, line: bytes) -> None:
        """Take one line, ended by a line feed."""
        size = len(line)
        if self._taken - self._written + size > self._capacity:
            self._refused_lines += 1
            return
        self._taken += size
        self._lines.append(line)

    def write_several(self, lines: Sequence[bytes]) -> None:
        """Take whole lines, each ended by a line feed."""
        size = sum(map(len, lines))
        if self._taken - self._written + size > self._capacity:
            # Some of them may have room.
            for line in lines:
                self.write(line)
            return
        self._taken += size
        if size:
            # Together: the memory of each line is in the processor's caches now, and free for the next ones.
            self._lines.append(b"".join(lines))

    async def run(self) -> None:
        """Write again and again until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            self._hand_over()

    async def flush(self, *, within: float = LAST_WRITE_SECONDS) -> None:
        """Write what there is, not what comes meanwhile.

        Raises TimeoutError where nobody takes it within so many seconds.
        """
        self._hand_over()
        wanted, deadline = self._taken, time.monotonic() + within
        while self._written < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError("nobody takes the log")
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def close(self) -> None:
        """Write the rest, unless the reader stands still."""
        try:
            await self.flush(within=LAST_WRITE_SECONDS)
            # What was said meanwhile.
            await self.flush(within=LAST_WRITE_SECONDS)
        except TimeoutError:
            # How much was taken of what the thread is writing can't be known; one line at least wasn't.
            self._refused_lines += 1
            while not self._chunks.empty():
                self._refused_lines += self._chunks.get_nowait().count(b"\n")
        self._chunks.put(_END)

    def _hand_over(self) -> None:
        for bring in self._sources:
            bring()
        if not self._lines:
            return
        if not self._thread.is_alive():
            self._thread.start()
        self._chunks.put(b"".join(self._lines))
        self._lines.clear()

    def _write_chunks(self) -> None:
        while chunk := self._chunks.get():
            with self._turn():
                self._write_all(chunk)
            self._written += len(chunk)

    def _write_all(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            # Nobody reads the log any more (EPIPE), or the disk is full: checks go on, and the metric tells.
            self._lost_lines += bytes(rest).count(b"\n")
