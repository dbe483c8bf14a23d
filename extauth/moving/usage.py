"""Brings usage from one store to another: what the one has counted more of than the other.

So it may be interrupted and run again, as the rest of a migration: what is there already is not added twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from extauth.clock import MICROSECONDS, Clock
from extauth.stores.usage import STEPS, WIDTH, Cell, Kind, Period, UsageStore

# Sums are made of the counts of all, where they are kept.
_KINDS = (Kind.ALL, Kind.KEY, Kind.USER)
# Of how many keys or users the counts of a period are compared at a time.
_AT_ONCE = 100
_NOTHING = (0,) * WIDTH


async def move_usage(source: UsageStore, target: UsageStore, clock: Clock, *, dry_run: bool) -> int:
    """Add to the target what it lacks, and return how many counts those were, each of one step.

    A dry run counts what would be added. Raises StoreError; run again to go on.
    """
    moved, now = 0, clock.now_us() // MICROSECONDS
    async for period, ahead in _ahead(source, target, now):
        moved += len(ahead) if dry_run else await target.take_in(period, ahead, now)
    return moved


async def _ahead(
    source: UsageStore, target: UsageStore, now: int
) -> AsyncIterator[tuple[Period, Sequence[Cell]]]:
    """Go through all periods, the oldest first, and find by how much the source's counts are ahead."""
    for step in STEPS:
        for number in range(step.period(step.oldest(now)), step.period(now) + 1):
            for period in (Period(step, number, kind) for kind in _KINDS):
                names = await source.names(period)
                for first in range(0, len(names), _AT_ONCE):
                    part = names[first : first + _AT_ONCE]
                    here, there = await source.cells(period, part), await target.cells(period, part)
                    if more := _more(here, there):
                        yield period, more


def _more(source: Sequence[Cell], target: Sequence[Cell]) -> list[Cell]:
    known = {cell[:4]: cell.counts for cell in target}
    pairs = ((cell, known.get(cell[:4], _NOTHING)) for cell in source)
    ahead = [
        cell._replace(counts=[max(0, one - other) for one, other in zip(cell.counts, there, strict=True)])
        for cell, there in pairs
    ]
    return [cell for cell in ahead if any(cell.counts)]
