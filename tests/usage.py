"""Counts of usage for tests: made, written, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from extauth.clock import MICROSECONDS, to_us
from extauth.model import Decision
from extauth.stores.usage import (
    DAY_SECONDS,
    WIDTH,
    Batch,
    Counts,
    Group,
    Kind,
    Place,
    Selection,
    Step,
    UsageStore,
)
from extauth.usage.tracker import Noted, UsageTracker
from tests.checking import request_for
from tests.fake_usage import MemoryUsageStore
from tests.fakes import START, FakeClock

NOW_US = to_us(START)
# A minute, in seconds since 1970.
NOON = NOW_US // MICROSECONDS
PLACE = Place("k1", "u1", "free", "orders")


def counts(*numbers: int, **positions: int) -> Counts:
    """Return counts that begin with these numbers; `n17=3` puts one further on."""
    found = [*numbers, *[0] * (WIDTH - len(numbers))]
    for name, number in positions.items():
        found[int(name.removeprefix("n"))] = number
    return found


def batch(
    number: int,
    *told: tuple[Place, Counts],
    minute: int = NOON,
    process: str = "p",
    refusals: Mapping[str, Sequence[str]] | None = None,
) -> Batch:
    """Return a batch."""
    return Batch(process=process, number=number, minute=minute, counts=told, refusals=refusals or {})


def selection(
    step: Step, kind: Kind = Kind.ALL, *names: str, group: Group = Group.NOTHING, **asked: str
) -> Selection:
    """Ask for two days around noon."""
    since, until = NOON - DAY_SECONDS, NOON + DAY_SECONDS
    return Selection(
        step=step, kind=kind, names=names or ("",), since=since, until=until, group=group, **asked
    )


async def kept(store: UsageStore, asked: Selection) -> dict[tuple[str, int], Counts]:
    """Return what a store has; each group and time is there once. Times are from noon."""
    readings = await store.read(asked)
    found = {(reading.group, reading.at - NOON): list(reading.counts) for reading in readings}
    assert len(found) == len(readings)
    return dict(found)


def noted(decision: Decision, took_us: int = 10, at_us: int = NOW_US, path: str = "/") -> Noted:
    """Return a decision as the recorder notes it."""
    return request_for(path), decision, at_us - took_us, at_us


def tracking() -> tuple[MemoryUsageStore, UsageTracker]:
    """Return a tracker and its store."""
    store = MemoryUsageStore()
    return store, UsageTracker(store, process="p", clock=FakeClock())
