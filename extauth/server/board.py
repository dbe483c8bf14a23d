"""A little memory that workers share: how many connections each of them has, and whose turn it is to write.

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
ABSENT = 2**32 - 1


class Board:
    """One number for each worker, which all of them read and it alone writes."""

    def __init__(self, descriptor: int) -> None:
        """Share the memory that `make` made, here or in another process."""
        self.descriptor = descriptor
        self._numbers = memoryview(mmap.mmap(descriptor, 0)).cast("I")

    @classmethod
    def make(cls, workers: int) -> Self:
        """Make one on which all workers are absent."""
        descriptor = os.memfd_create("extauth-workers")
        os.write(descriptor, ABSENT.to_bytes(_CELL_BYTES, "little") * workers)
        return cls(descriptor)

    def note(self, worker: int, connections: int = ABSENT) -> None:
        """Tell the others how many connections a worker has."""
        self._numbers[worker] = connections

    def least(self) -> int:
        """Return the number of whoever has the fewest."""
        return min(self._numbers)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep the other processes out meanwhile. The system ends the turn of one that is killed in it."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
