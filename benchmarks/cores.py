"""Which core serves and which one asks. Nothing else decides about placement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Cores(NamedTuple):
    """The cores of servers and of the load generator; the same number twice where there is only one core."""

    server: int
    load: int


def choose_cores() -> Cores:
    """Take the first two cores that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[min(1, len(usable) - 1)])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread, and the processes started meanwhile with all their threads, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
