"""Counts decisions by key, user, tier and route off the hot path, and has them written every second."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence

from extauth.bounded import Memo
from extauth.clock import MICROSECONDS, Clock
from extauth.model import OUTCOMES, CheckRequest, Code, CountedPage, Decision, Identified, Outcome
from extauth.stores import usage
from extauth.stores.usage import (
    LATENCIES,
    LATENCY_BOUNDS_US,
    LATENCY_SUM,
    Place,
    UsageStore,
)
from extauth.tasks import end
from extauth.usage import word
from extauth.usage.refusal import Refused, refusal_line
from extauth.usage.segment import Segment, Spot
from extauth.usage.sheet import CountingSheet
from extauth.usage.writer import REST, UsageWriter

# Of how many keys refusals are kept between two writes, and how many of each: no flood fills the store.
MOST_REFUSED_KEYS = 200
MOST_REFUSALS_AT_ONCE = 10
_MINUTE_US = 60 * MICROSECONDS
# Whoever reports says how long the upstream took: no number of theirs may be too large to be kept.
_LONGEST_US = 24 * 60 * _MINUTE_US
# Looking a member up in its enumeration costs more than comparing it, and the first bound is met most often.
_ALLOWED = Code.ALLOWED
_QUICKEST_US = LATENCY_BOUNDS_US[0]

_OF_OUTCOME = {
    Outcome.ALLOWED: usage.ALLOWED,
    Outcome.AMBIGUOUS: usage.REFUSED,
    Outcome.UNAUTHENTICATED: usage.REFUSED,
    Outcome.FORBIDDEN: usage.REFUSED,
    Outcome.LIMITED: usage.RATE_LIMITED,
    Outcome.UNAVAILABLE: usage.FAILED,
}
# Where in counts a code is counted.
POSITIONS: Mapping[Code, int] = {
    **{code: _OF_OUTCOME[outcome] for code, outcome in OUTCOMES.items()},
    Code.TOO_MANY_CONCURRENT: usage.THROTTLED,
}

# Those below tell what comes later.
_FIRST_OF_CLASSES = 200
Noted = tuple[CheckRequest, Decision, int, int]
_REMEMBERED_WORDS = 16_384


def _spot_of(
    whose: Identified | None, presented_id: str, route: str, cells: Segment
) -> tuple[CountedPage, int]:
    """Return where to count, and note that with the key until another route comes.

    A key that comes by one route only is never looked up: where many are in use that takes longer than all
    else that counting does.
    """
    if whose is None:
        return cells.place_of(presented_id, route)
    if whose.counted_for is not None:
        sheet = whose.counted_on
        assert isinstance(sheet, CountingSheet)  # nothing else sets it
        if sheet.page.of is cells.this:
            # By more than one route.
            cells.remember(whose, whose.counted_for, (sheet.page, whose.counted_at))
            return _noted_with(whose, route, cells.place_of(whose, route))
        if whose.counted_for == route and (page := cells.go_on(sheet)) is not None:
            return page, whose.counted_at
    return _noted_with(whose, route, cells.add(whose, route))


def _noted_with(whose: Identified, route: str, spot: Spot) -> Spot:
    page, at = spot
    whose.counted_on, whose.counted_at, whose.counted_for = page.sheet, at, route
    return spot


class UsageTracker:
    """Collects counts and writes them. `process` is a name that no other process has.

    So many `processes` of this server write beside each other.

    `writes` counts how often all that was counted until then was written, and how often that failed.
    """

    def __init__(self, store: UsageStore, *, process: str, clock: Clock, processes: int = 1) -> None:
        self._now_us = clock.now_us
        self._rest = REST * processes
        self._places: Memo[str, Place | None] = Memo(word.decode, _REMEMBERED_WORDS)
        self._at_once = store.at_once
        self._segments = 0
        self._cells = Segment(0, 0, self._at_once)
        self._refused: dict[str, deque[Refused]] = {}
        self._writer = UsageWriter(
            store,
            process=process,
            turn=lambda: self._turn(self._cells.minute),
            counting=lambda: self._cells,
            refused=self._told_of_refused,
        )
        self.writes = self._writer.writes
        self._writing: asyncio.Task[None] | None = None

    def see(self, noted: Sequence[Noted]) -> None:
        """Count decisions, each with its request and, in microseconds, when it began and was made."""
        cells, this, since_us = self._cells, self._cells.this, self._cells.minute * MICROSECONDS
        until_us = since_us + _MINUTE_US
        for request, decision, started_us, decided_us in noted:
            if not since_us <= decided_us < until_us:
                self._turn(decided_us // _MINUTE_US * 60)
                cells, this, since_us = self._cells, self._cells.this, self._cells.minute * MICROSECONDS
                until_us = since_us + _MINUTE_US
            code, whose, presented_id, route, _, _, _, _, _, _, _, _, _ = decision
            if (
                whose is not None
                and whose.counted_for == route
                and (page := whose.counted_on.page).of is this
            ):
                at = whose.counted_at
            else:
                page, at = _spot_of(whose, presented_id, route, cells)
            page.grown, counts = True, page.counts
            took_us = decided_us - started_us
            if took_us <= _QUICKEST_US:
                counts[at + LATENCIES] += 1
            else:
                counts[at + LATENCIES + bisect_left(LATENCY_BOUNDS_US, took_us)] += 1
            if took_us > 0:
                counts[at + LATENCY_SUM] += took_us
            if code is _ALLOWED:
                counts[at] += 1  # it is the first of a place's counts
                continue
            counts[at + POSITIONS[code]] += 1
            if key_id := decision.key_id:
                refused = self._refused.get(key_id) or self._room_for(key_id)
                if refused is not None:
                    refused.append((request, decision, decided_us))

    def see_upstream(self, whose: str, status: int, duration_us: int) -> None:
        """Count what the upstream answered, and after how long; `whose` request it was: see `usage.word`."""
        place = self._places[whose]
        if place is None:
            return
        now_us = self._now_us()
        if not 0 <= now_us - self._cells.minute * MICROSECONDS < _MINUTE_US:
            self._turn(now_us // _MINUTE_US * 60)
        page, at = self._cells.place_of(place, place.route)
        page.add_further(at, usage.UPSTREAM_REPORTED, 1)
        page.add_further(at, usage.UPSTREAM_DURATION_SUM, min(duration_us, _LONGEST_US))
        if status >= _FIRST_OF_CLASSES:
            page.add_further(at, usage.UPSTREAM + status // 100 - 2, 1)

    def start(self) -> None:
        """Write again and again until `close`."""
        self._writing = asyncio.create_task(self._write_on())

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(self._writer.pause_seconds)
            await self.write(rest=self._rest)

    async def write(self, *, rest: int = 0) -> None:
        """Write all that was counted until now. See `UsageWriter`."""
        await self._writer.write(rest=rest)

    async def close(self) -> None:
        """Write the rest."""
        if self._writing is not None:
            await end(self._writing)
        await self._writer.close()

    def _turn(self, minute: int) -> None:
        """Begin another minute, or the same again; what was counted so far is due."""
        if self._cells or minute != self._cells.minute:
            if self._cells:
                self._writer.hand_over(self._cells)
            self._segments += 1
            self._cells = Segment(minute, self._segments, self._at_once)

    def _room_for(self, key_id: str) -> deque[Refused] | None:
        if len(self._refused) >= MOST_REFUSED_KEYS:
            return None
        return self._refused.setdefault(key_id, deque(maxlen=MOST_REFUSALS_AT_ONCE))

    def _told_of_refused(self) -> dict[str, list[str]]:
        refused, self._refused = self._refused, {}
        return {key_id: list(map(refusal_line, told)) for key_id, told in refused.items()}
