"""The stand-in for a store of usage: dictionaries, under the same conformance suite as the real stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import starmap

import orjson

from extauth.stores.usage import (
    MOST_REFUSALS,
    OTHER,
    RANKED,
    REFUSALS_KEPT_SECONDS,
    STEPS,
    WIDTH,
    Batch,
    Cell,
    Counts,
    Kind,
    Page,
    Period,
    Place,
    Ranked,
    Reading,
    Selection,
    Step,
    added,
    by_name,
    counts_of_each,
    minute_of,
    requests_of,
)

_Where = tuple[str, str, str]


class MemoryUsageStore:
    """Usage in dictionaries. While `failure` is set every call raises it, `unsure` after it has written."""

    at_once = 50

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.unsure = False
        self.batches: list[Batch] = []
        # What is in the journals: by process, by page.
        self.pages: dict[str, dict[str, list[tuple[Place, list[int]]]]] = {}
        # The number of what each process wrote last, below zero if it was taken over.
        self.written: dict[str, int] = {}
        self._places: dict[tuple[Step, Kind, int], Counter[_Where]] = {}
        self._counts: dict[tuple[Step, Kind, _Where, int], list[int]] = {}
        self._refusals: dict[str, list[tuple[int, str]]] = {}

    async def add(self, batch: Batch) -> bool:
        """Add counts. See `UsageStore`."""
        if is_taken := self._takes(batch.process, batch.number):
            self.batches.append(batch)
            self._drop(batch.process, batch.page)
            self._add(batch)
        self._fail()
        return is_taken is not None

    async def note(self, process: str, number: int, pages: Sequence[Page]) -> bool:
        """Keep pages. See `UsageStore`."""
        if is_taken := self._takes(process, number):
            for page in pages:
                rows = counts_of_each(orjson.loads(page.told), len(page.places))
                counted = zip(starmap(Place, page.places), rows, strict=True)
                there = [(place, row) for place, row in counted if any(row)]
                self.pages.setdefault(process, {})[page.name] = there
        self._fail()
        return is_taken is not None

    async def journals(self) -> Mapping[str, int]:
        """Return who has pages. See `UsageStore`."""
        self._fail()
        return {process: abs(self.written[process]) for process in self.pages}

    async def take_over(self, process: str, number: int) -> Sequence[str]:
        """Have no more from a process. See `UsageStore`."""
        self._fail()
        if abs(self.written.get(process, 0)) != number:
            return ()
        self.written[process] = -number
        return [*self.pages.get(process, ())]

    async def fold(self, process: str, page: str, number: int = 0) -> None:
        """Add a page. See `UsageStore`."""
        if self.failure is not None and not self.unsure:
            raise self.failure
        if not number or self._takes(process, number):
            self._add_counts(minute_of(page), self._drop(process, page))
        self._fail()

    def _takes(self, process: str, number: int) -> bool | None:
        """Tell whether what has that number is written; None where the process was taken over."""
        if self.failure is not None and not self.unsure:
            raise self.failure
        last = self.written.get(process, 0)
        if number <= abs(last):
            return False
        if last < 0:
            return None
        self.written[process] = number
        return True

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _drop(self, process: str, page: str) -> list[tuple[Place, list[int]]]:
        pages = self.pages.get(process, {})
        dropped = pages.pop(page, [])
        if not pages:
            self.pages.pop(process, None)
        return dropped

    async def top(self, selection: Selection) -> Sequence[Ranked]:
        """Return the busiest places. See `UsageStore`."""
        self._fail()
        found: list[Ranked] = []
        for period in selection.periods():
            places = self._places.get((selection.step, selection.kind, period), Counter())
            wanted = {place: count for place, count in places.items() if selection.fits(*place[1:])}
            found += (Ranked(*place, count) for place, count in Counter(wanted).most_common(RANKED))
        return found

    async def read(self, selection: Selection) -> Sequence[Reading]:
        """Return what was counted. See `UsageStore`."""
        self._fail()
        found: dict[tuple[str, int], list[int]] = {}
        for (step, kind, (name, tier, route), at), counts in self._counts.items():
            if (
                (step, kind) == (selection.step, selection.kind)
                and name in selection.names
                and selection.fits(tier, route)
                and selection.since <= at < selection.until
            ):
                place = (selection.group_of(name, tier, route), at)
                found[place] = added(found.get(place, [0] * WIDTH), counts)
        return [Reading(group, at, counts) for (group, at), counts in found.items()]

    async def refusals(self, key_id: str) -> Sequence[str]:
        """Return the latest refusals. See `UsageStore`."""
        self._fail()
        return [told for _, told in reversed(self._refusals.get(key_id, []))]

    async def names(self, period: Period) -> Sequence[str]:
        """Return whose usage a period has. See `UsageStore`."""
        return [*{name for name, _, _ in self._places.get(self._index(period), ())}]

    async def cells(self, period: Period, names: Sequence[str]) -> Sequence[Cell]:
        """Return all that a period has of these names. See `UsageStore`."""
        step, number, kind = period
        return [
            Cell(*where, at, counts)
            for (of, whose, where, at), counts in self._counts.items()
            if (of, whose, of.period(at)) == (step, kind, number) and where[0] in names
        ]

    async def take_in(self, period: Period, cells: Sequence[Cell], now: int) -> int:
        """Add counts of another store. See `UsageStore`."""
        if now >= period.kept_until:
            return 0
        taken = [self._take_in(period, cell) for cell in cells]
        if period.kind is Kind.ALL:
            together = period._replace(kind=Kind.SUM)
            for cell in cells:
                self._take_in(together, cell._replace(tier="", route=""))
        return sum(taken)

    def _take_in(self, period: Period, cell: Cell) -> bool:
        step, _, kind = period
        name, tier, route, at, counts = cell
        places, place = self._places.setdefault(self._index(period), Counter()), (name, tier, route)
        told_apart = (
            kind not in {Kind.KEY, Kind.USER} or place in places or name == OTHER or len(places) < step.places
        )
        if told_apart:
            places[place] += requests_of(counts)
            index = (step, kind, place, at)
            self._counts[index] = added(self._counts.get(index, [0] * WIDTH), counts)
        return told_apart

    @staticmethod
    def _index(period: Period) -> tuple[Step, Kind, int]:
        return period.step, period.kind, period.number

    async def close(self) -> None:
        """Nothing to let go of."""

    def _add(self, batch: Batch) -> None:
        self._add_counts(batch.minute, batch.counts)
        self._add_refusals(batch)

    def _add_counts(self, minute: int, counted: Sequence[tuple[Place, Counts]]) -> None:
        for step in STEPS:
            at = minute // step.seconds * step.seconds
            for (kind, name, tier, route), counts in by_name(counted).items():
                places = self._places.setdefault((step, kind, step.period(at)), Counter())
                where = (name, tier, route)
                if kind in {Kind.KEY, Kind.USER} and where not in places and len(places) >= step.places:
                    where = (OTHER, tier, route)
                places[where] += requests_of(counts)
                cell = (step, kind, where, at)
                self._counts[cell] = added(self._counts.get(cell, [0] * WIDTH), counts)

    def _add_refusals(self, batch: Batch) -> None:
        for key_id, told in batch.refusals.items():
            kept = [*self._refusals.get(key_id, []), *((batch.minute, one) for one in told)]
            young = [one for one in kept if one[0] >= batch.minute - REFUSALS_KEPT_SECONDS]
            self._refusals[key_id] = young[-MOST_REFUSALS:]
