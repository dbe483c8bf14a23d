"""What a proxy reports about a request, and who takes it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

# How long a request's id may be, and a lease: that names all limits of which it holds a slot.
LONGEST_ID = 128
LONGEST_LEASE = 1_024


class Signal(NamedTuple):
    """A request ended; with `progress` it still runs. `lease` is empty where the proxy didn't learn it.

    `status` is what the upstream answered and `duration_us` how long it took, both 0 where that isn't told.
    """

    request_id: str
    lease: str
    progress: bool
    status: int = 0
    duration_us: int = 0


class SignalSink(Protocol):
    """Who frees and renews leases."""

    def take(self, signals: Sequence[Signal]) -> None:
        """Take signals, to work on them later. Never waits, never raises."""
        ...


class Unread(enum.Enum):
    """Why something that came is no signal: it is not meant as one, or can't be read."""

    IGNORED = enum.auto()
    UNREADABLE = enum.auto()


Reading = Signal | Unread


@dataclass(slots=True)
class Counters:
    """What came: signals by kind, and what was none.

    `dropped` tells what the kernel had no room for, in the one process that knows.
    """

    lines: int = 0
    json: int = 0
    done: int = 0
    otlp: int = 0
    datagrams: int = 0
    ignored: int = 0
    unreadable: int = 0
    foreign: int = 0
    dropped: Callable[[], int] = lambda: 0


def signals_of(readings: Iterable[Reading], counters: Counters) -> list[Signal]:
    """Return the signals, and count what is none."""
    signals: list[Signal] = []
    for reading in readings:
        if isinstance(reading, Signal):
            signals.append(reading)
        elif reading is Unread.IGNORED:
            counters.ignored += 1
        else:
            counters.unreadable += 1
    return signals
