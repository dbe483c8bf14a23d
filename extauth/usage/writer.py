"""Writes what was counted: in batches that leave the store most of its time, and until then in a journal.

What a crash may lose is what was counted since it was last written to either: a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from extauth.errors import StoreError
from extauth.stores.usage import Batch, UsageStore
from extauth.usage.kept import Counted, Kept
from extauth.usage.segment import Segment
from extauth.usage.sheet import JournalPage

WRITE_EVERY_SECONDS = 0.8
# At least so long nothing is written after all was, however long that took.
_SHORTEST_PAUSE_SECONDS = 0.05
# So long after it was counted something is noted that is in no batch yet: with the note that is a second.
NOTE_AFTER_SECONDS = 0.9
# Between two batches nothing is written for so many times as long as one took, times the processes that write
# beside each other: however many keys there are, a server leaves the store 39 fortieths of its time. What
# comes meanwhile is added up, and noted in the journal, which takes less time and so needs fewer pauses.
REST = 39
_REST_OF_NOTES = 4
# However long a batch took: whoever lets others wait for so long is taken for dead.
LONGEST_REST_SECONDS = 5.0
# How many places are noted in one step: of Redis's client each step takes a tenth of a millisecond beside its
# places, and Redis does nothing else for about as long. And how many are looked at before checks come in
# between: that takes half a millisecond where none of them is in the processor's caches.
_NOTED_AT_ONCE = 2_000
_LOOKED_AT_AT_ONCE = 250
# How many places are kept apart while the store takes nothing.
MOST_WAITING = 20_000


class UsageWriter:
    """Writes segments. `process` is a name that no other process has.

    `writes` counts how often everything was written, and how often that failed; after `pause_seconds` it is
    time to write again.

    `turn` hands over what was counted until now, and `counting` returns where it is counted now; `refused`
    returns what is told of refusals, once.
    """

    def __init__(
        self,
        store: UsageStore,
        *,
        process: str,
        turn: Callable[[], None],
        counting: Callable[[], Segment],
        refused: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        self.writes = {"ok": 0, "failed": 0}
        self._store = store
        self._turn = turn
        self._counting = counting
        self._refused = refused
        self._process = process
        self._journal = process
        self._taken_over = 0
        self._written = 0
        # Since when, by the loop's clock, something may have been counted that is neither written nor noted.
        self._unwritten_since = 0.0
        self.pause_seconds = WRITE_EVERY_SECONDS
        # Where a batch is taken from: first what the store did not take before, then what came since. What is
        # taken stays in the batch until that is written.
        self._kept = Kept(MOST_WAITING)
        self._due: deque[Segment] = deque()
        self._batch: Batch | JournalPage | None = None

    def hand_over(self, segment: Segment) -> None:
        """Have counts written to which no more comes."""
        self._due.append(segment)

    async def write(self, *, rest: int = 0) -> None:
        """Write all there is. What the store does not take now is kept for the next time.

        Between batches it waits for `rest` times as long as one took, and notes what is not written yet. It
        waits less where more than two minutes are to be written: else there would be ever more of them.
        """
        self._turn()
        loop = asyncio.get_running_loop()
        turned_at = loop.time()
        self.pause_seconds = WRITE_EVERY_SECONDS
        try:
            await self._write(rest)
            self._unwritten_since = max(self._unwritten_since, turned_at)
            write_in = self._unwritten_since + WRITE_EVERY_SECONDS - loop.time()
            self.pause_seconds = max(_SHORTEST_PAUSE_SECONDS, write_in)
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
        """Write all there is, noted before where that takes long: a server that ends has seconds for it."""
        self._turn()
        if sum(map(len, self._due)) > _NOTED_AT_ONCE:
            with contextlib.suppress(StoreError):
                await self._note()
        await self.write()

    async def _write(self, rest: int) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            began = loop.time()
            if not await self._add(batch):
                self._begin_anew()
                continue
            self._batch = None
            if rest and (self._due or self._kept):
                behind = max(1, len(self._due) - 1)
                await self._rest(rest / behind**2 * (loop.time() - began))

    async def _add(self, batch: Batch | JournalPage) -> bool:
        """Add a batch, or a page that the store has; return False where the journal was taken over."""
        if isinstance(batch, Batch):
            return await self._store.add(batch)
        self._written += 1
        # Somebody who has taken the journal over adds it too: once, whoever comes first.
        await self._store.fold(self._journal, batch.name, self._written)
        return True

    async def _rest(self, seconds: float) -> None:
        """Leave the store to others; note in time what was counted."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(seconds, LONGEST_REST_SECONDS)
        while (left := until - loop.time()) > 0:
            note_in = self._unwritten_since + NOTE_AFTER_SECONDS - loop.time()
            if note_in <= 0:
                await self._note()
            else:
                await asyncio.sleep(min(left, note_in))

    async def _note(self) -> None:
        """Note what is in no batch yet, and has grown since it was noted."""
        many = max(1, _NOTED_AT_ONCE // self._store.at_once)
        noted_at = asyncio.get_running_loop().time()
        over, counting = [segment for segment in self._due if not segment.is_settled], self._counting()
        for segment in over:
            journal = self._journal
            await self._note_segment(segment, many)
            segment.is_settled = journal == self._journal
        await self._note_segment(counting, many)
        self._unwritten_since = noted_at

    async def _note_segment(self, segment: Segment, many: int) -> None:
        index, journal = segment.in_batches, self._journal
        while journal == self._journal and segment.page(index) is not None:
            pages, index = await self._grown(segment, index, many)
            await self._note_pages(pages)

    async def _grown(self, segment: Segment, index: int, many: int) -> tuple[list[JournalPage], int]:
        """Return the next pages that the store lacks something of, up to so many, and where others follow."""
        grown: list[JournalPage] = []
        looked_at = 0
        while len(grown) < many and (page := segment.page(index)) is not None:
            index += 1
            looked_at += self._store.at_once if page.grown else 1
            if self._is_ours(page) and page.tell():
                grown.append(page)
            if looked_at >= _LOOKED_AT_AT_ONCE:
                looked_at = 0
                await asyncio.sleep(0)
        return grown, index

    async def _note_pages(self, pages: Sequence[JournalPage]) -> None:
        """Note pages as they were told, and leave the store to others after that."""
        if not pages:
            return
        for page in pages:
            # From now on: also of what failed nobody knows whether it was written.
            page.journal, page.noted = self._journal, b""
        self._written += 1
        began = asyncio.get_running_loop().time()
        if not await self._store.note(self._journal, self._written, pages):
            self._begin_anew()
            return
        for page in pages:
            page.noted = page.told
        await asyncio.sleep(_REST_OF_NOTES * (asyncio.get_running_loop().time() - began))

    def _is_ours(self, page: JournalPage) -> bool:
        """Tell whether nobody else adds it."""
        return page.journal in {"", self._journal}

    def _begin_anew(self) -> None:
        """Begin another journal: somebody has taken this one for a dead process's, and adds what is in it.

        What was counted since it was noted is lost with it, as in a crash.
        """
        structlog.get_logger("extauth.usage").warning("usage_journal_was_taken_over", process=self._journal)
        self._taken_over += 1
        self._journal, self._written = f"{self._process}.{self._taken_over}", 0
        self._turn()
        batch, self._batch = self._batch, None
        if isinstance(batch, Batch) and not batch.page:
            self._written = 1
            self._batch = replace(batch, process=self._journal, number=1)

    def _next(self) -> Batch | JournalPage | None:
        """Return what was not taken, else what is next; None where all is written."""
        if self._batch is None:
            minute, counts = self._kept.take(self._store.at_once)
            if counts:
                self._batch = self._batch_of(minute, counts, self._refused())
        while self._batch is None and self._due:
            segment = self._due[0]
            page = segment.next()
            if segment.is_done:
                self._due.popleft()
            if page is None:
                continue
            if self._is_ours(page):
                self._batch = self._of_page(segment.minute, page)
            page.empty()
        return self._batch

    def _of_page(self, minute: int, page: JournalPage) -> Batch | JournalPage:
        """Return the batch that a page makes; itself where the store has all of it in the journal."""
        refusals = self._refused()
        if not refusals and not page.tell():
            return page
        return self._batch_of(minute, page.counted(), refusals, page.name if page.journal else "")

    def _batch_of(
        self,
        minute: int,
        counts: Sequence[Counted],
        refusals: Mapping[str, Sequence[str]],
        page: str = "",
    ) -> Batch:
        self._written += 1
        return Batch(
            process=self._journal,
            number=self._written,
            minute=minute,
            counts=counts,
            refusals=refusals,
            page=page,
        )

    def _put_back(self) -> None:
        """Keep what is due for the next time; what is in a journal stays what it is there."""
        due, self._due = self._due, deque()
        for segment in due:
            if segment.is_noted:
                self._due.append(segment)
            else:
                for page in iter(segment.next, None):
                    self._kept.add(segment.minute, page.counted())
                    page.empty()
