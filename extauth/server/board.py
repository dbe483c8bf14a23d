"""A little memory that workers share: connections of each, how punctual it is, and whose turn it is to write.

It is a file without a name (memfd), so that nothing is left of it when the last process has ended.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

_CELL_BYTES = 4
# Of a worker that takes no connections: nobody has as many.
ABSENT = _MOST = 2**32 - 1


_CELLS = 3


class Board:
    """Some numbers for each worker, which all of them read and it alone writes.

    Times are milliseconds of the clock that all processes have in common; 0 is none.
    """

    def __init__(self, descriptor: int) -> None:
        """Share the memory that `make` made, here or in another process."""
        self.descriptor = descriptor
        numbers = memoryview(mmap.mmap(descriptor, 0)).cast("I")
        workers = len(numbers) // _CELLS
        self._connections, self._beats, self._late = (
            numbers[workers * cell : workers * (cell + 1)] for cell in range(_CELLS)
        )

    @classmethod
    def make(cls, workers: int) -> Self:
        """Make one on which all workers are absent."""
        descriptor = os.memfd_create("extauth-workers")
        os.write(descriptor, ABSENT.to_bytes(_CELL_BYTES, "little") * workers)
        os.ftruncate(descriptor, _CELLS * _CELL_BYTES * workers)
        return cls(descriptor)

    def note(self, worker: int, connections: int = ABSENT) -> None:
        """Tell the others how many connections a worker has."""
        self._connections[worker] = connections
        if connections == ABSENT:
            self.beat(worker, 0)

    def least(self) -> int:
        """Return the number of whoever has the fewest."""
        return min(self._connections)

    def beat(self, worker: int, now_ms: int, *, is_late: bool = False) -> None:
        """Tell the others that a worker has the processor now, and whether it got that late."""
        self._beats[worker] = now_ms & _MOST
        if is_late:
            self._late[worker] = now_ms & _MOST

    def beats(self) -> list[int]:
        """Return when each worker had the processor last, as far as it told; 0 where it doesn't tell."""
        return list(self._beats)

    def last_late(self) -> list[int]:
        """Return when each worker got the processor late for the last time."""
        return list(self._late)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep the other processes out meanwhile. The system ends the turn of one that is killed in it."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
