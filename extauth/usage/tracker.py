"""Counts decisions by key, user, tier and route off the hot path, and writes them every second.

What a crash may lose is what was counted since the last write: a second, and the write itself.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import structlog

from extauth.bounded import Memo
from extauth.clock import MICROSECONDS, Clock
from extauth.errors import StoreError
from extauth.model import OUTCOMES, ApiKey, CheckRequest, Code, Decision, Outcome
from extauth.stores import usage
from extauth.stores.usage import (
    LATENCIES,
    LATENCY_BOUNDS_US,
    LATENCY_SUM,
    WIDTH,
    Batch,
    Place,
    UsageStore,
)
from extauth.tasks import end
from extauth.usage import word
from extauth.usage.kept import Counted, Kept
from extauth.usage.refusal import Refused, refusal_line

# With the write itself that is a second.
WRITE_EVERY_SECONDS = 0.8
# Between two batches nothing is written for so many times as long as one took: however many keys there are,
# the store has most of its time for others. What comes meanwhile is added up.
_REST = 19
# How many places are kept apart while the store takes nothing.
MOST_WAITING = 20_000
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
# The key, or where nobody was identified the id that was presented; and the route.
_Cell = tuple[ApiKey | str | Place, str]
_REMEMBERED_WORDS = 16_384


class _Cells(dict[_Cell, list[int]]):
    """Counts of a minute; a cell that is not there yet is all zeros."""

    def __missing__(self, cell: _Cell) -> list[int]:
        counts = self[cell] = [0] * WIDTH
        return counts


class _NowFor(dict[str, object]):
    """Something for each route that is the same until all that was counted is due, and never again."""

    def __missing__(self, route: str) -> object:
        found = self[route] = object()
        return found


class UsageTracker:
    """Collects counts and writes them. `process` is a name that no other process has.

    `writes` counts how often all that was counted until then was written, and how often that failed.
    """

    def __init__(self, store: UsageStore, *, process: str, clock: Clock) -> None:
        self.writes = {"ok": 0, "failed": 0}
        self._now_us = clock.now_us
        self._places: Memo[str, Place | None] = Memo(word.decode, _REMEMBERED_WORDS)
        self._store = store
        self._process = process
        self._written = 0
        self._minute = 0
        self._cells = _Cells()
        self._now_for = _NowFor()
        # Where a batch is taken from: first what the store did not take before, then what came since, by
        # minute. What is taken stays in the batch until that is written.
        self._kept = Kept(MOST_WAITING)
        self._due: deque[tuple[int, Iterator[Counted]]] = deque()
        self._batch: Batch | None = None
        self._refused: dict[str, deque[Refused]] = {}
        self._writing: asyncio.Task[None] | None = None

    def see(self, noted: Sequence[Noted]) -> None:
        """Count decisions, each with its request and, in microseconds, when it began and was made."""
        cells, now_for, since_us = self._cells, self._now_for, self._minute * MICROSECONDS
        until_us = since_us + _MINUTE_US
        for request, decision, started_us, decided_us in noted:
            if not since_us <= decided_us < until_us:
                self._turn(decided_us // _MINUTE_US * 60)
                cells, now_for, since_us = self._cells, self._now_for, self._minute * MICROSECONDS
                until_us = since_us + _MINUTE_US
            code, key, key_id, route, _, _, _, _, _, _, _, _, _ = decision
            if key is None:
                counts = cells[key_id, route]
            elif key.notes.counted_for is now_for[route]:
                counts = key.notes.counts
            else:
                key.notes.counts = counts = cells[key, route]
                key.notes.counted_for = now_for[route]
            took_us = decided_us - started_us
            if took_us <= _QUICKEST_US:
                counts[LATENCIES] += 1
            else:
                counts[LATENCIES + bisect_left(LATENCY_BOUNDS_US, took_us)] += 1
            if took_us > 0:
                counts[LATENCY_SUM] += took_us
            if code is _ALLOWED:
                counts[usage.ALLOWED] += 1
                continue
            counts[POSITIONS[code]] += 1
            if key_id:
                refused = self._refused.get(key_id) or self._room_for(key_id)
                if refused is not None:
                    refused.append((request, decision, decided_us))

    def see_upstream(self, whose: str, status: int, duration_us: int) -> None:
        """Count what the upstream answered, and after how long; `whose` request it was: see `usage.word`."""
        place = self._places[whose]
        if place is None:
            return
        now_us = self._now_us()
        if not 0 <= now_us - self._minute * MICROSECONDS < _MINUTE_US:
            self._turn(now_us // _MINUTE_US * 60)
        counts = self._cells[place, place.route]
        counts[usage.UPSTREAM_REPORTED] += 1
        counts[usage.UPSTREAM_DURATION_SUM] += min(duration_us, _LONGEST_US)
        if status >= _FIRST_OF_CLASSES:
            counts[usage.UPSTREAM + status // 100 - 2] += 1

    def start(self) -> None:
        """Write again and again until `close`."""
        self._writing = asyncio.create_task(self._write_on())

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write(rest=_REST)

    async def write(self, *, rest: int = 0) -> None:
        """Write all there is. What the store does not take now is kept for the next time.

        Between batches it waits for `rest` times as long as one took.
        """
        self._turn(self._minute)
        loop = asyncio.get_running_loop()
        try:
            while batch := self._next():
                began = loop.time()
                await self._store.add(batch)
                self._batch = None
                if rest and (self._due or self._kept):
                    await asyncio.sleep(rest * (loop.time() - began))
            self.writes["ok"] += 1
        except StoreError as error:
            self.writes["failed"] += 1
            self._put_back()
            structlog.get_logger("extauth.usage").warning("usage_not_written", problem=str(error))
        except Exception as fault:  # noqa: BLE001 - what can't be written now never can: the rest goes on
            self.writes["failed"] += 1
            self._batch = None
            structlog.get_logger("extauth.usage").exception("usage_not_written", problem=type(fault).__name__)

    async def close(self) -> None:
        """Write the rest."""
        if self._writing is not None:
            await end(self._writing)
        await self.write()

    def _turn(self, minute: int) -> None:
        """Begin another minute, or the same again; what was counted so far is due."""
        if self._cells:
            self._due.append((self._minute, _places(self._cells)))
            self._cells = _Cells()
            self._now_for = _NowFor()
        self._minute = minute

    def _room_for(self, key_id: str) -> deque[Refused] | None:
        if len(self._refused) >= MOST_REFUSED_KEYS:
            return None
        return self._refused.setdefault(key_id, deque(maxlen=MOST_REFUSALS_AT_ONCE))

    def _next(self) -> Batch | None:
        """Return the batch that was not taken, else the next; None where all is written."""
        if self._batch is None:
            minute, counts = self._kept.take(self._store.at_once)
            while not counts and self._due:
                minute, places = self._due[0]
                counts = list(islice(places, self._store.at_once))
                if len(counts) < self._store.at_once:
                    self._due.popleft()
            if counts:
                self._batch = self._batch_of(minute, counts)
        return self._batch

    def _batch_of(self, minute: int, counts: Sequence[Counted]) -> Batch:
        self._written += 1
        refused, self._refused = self._refused, {}
        return Batch(
            process=self._process,
            number=self._written,
            minute=minute,
            counts=counts,
            refusals={key_id: list(map(refusal_line, told)) for key_id, told in refused.items()},
        )

    def _put_back(self) -> None:
        """Keep what is due for the next time."""
        while self._due:
            self._kept.add(*self._due.popleft())


def _places(cells: _Cells) -> Iterator[Counted]:
    """Return who and where it was, one by one: thousands at once would hold up checks."""
    for (key, route), counts in cells.items():
        if isinstance(key, Place):
            yield key, counts
        elif isinstance(key, str):
            yield Place(key, "", "", route), counts
        else:
            if key.notes.counts is counts:
                key.notes.counts, key.notes.counted_for = [], None
            yield Place(key.key_id, key.user_id, key.tier, route), counts
