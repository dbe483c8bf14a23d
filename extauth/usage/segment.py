"""Counts of one minute, from one moment on: by key and route, and by pages of places as stores take them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import orjson

from extauth.model import ApiKey
from extauth.stores.usage import LATENCIES, Page, Place
from extauth.usage.kept import Counted

# How many counts there are at first: those of checks that take no more than 2.5 ms. With thousands of keys
# most of what counting takes is memory that is in no cache, and noting takes as long as there are numbers.
_USUAL = LATENCIES + 4

# The key, or where nobody was identified the id that was presented; and the route.
Cell = tuple[ApiKey | str | Place, str]


@dataclass(eq=False)
class JournalPage(Page):
    """A page, in whose journal it is if it is in one, and what the store has of it for sure."""

    counts: list[list[int]] = field(default_factory=list)
    journal: str = ""
    noted: bytes = b""

    def tell(self) -> bool:
        """Tell what was counted by now; return whether the store lacks something of that."""
        self.told = orjson.dumps(self.counts)
        return self.told != self.noted

    def counted(self) -> list[Counted]:
        """Return its places with their counts."""
        return list(zip(self.places, self.counts, strict=True))


class Segment(dict[Cell, list[int]]):
    """Counts by cell; one that is not there yet is all zeros. See `widen`.

    Its pages have `at_once` places. The first `in_batches` of them were made into batches.
    """

    def __init__(self, minute: int, number: int, at_once: int) -> None:
        super().__init__()
        self.minute = minute
        self.in_batches = 0
        self._number = number
        self._at_once = at_once
        # A dictionary can't be gone through while it grows, nor from its middle on.
        self._cells: list[Cell] = []
        self._pages: list[JournalPage] = []

    def __missing__(self, cell: Cell) -> list[int]:
        counts = self[cell] = [0] * _USUAL
        self._cells.append(cell)
        return counts

    @property
    def is_noted(self) -> bool:
        """Whether something of it may be in a journal."""
        return any(page.journal for page in islice(self._pages, self.in_batches, None))

    @property
    def is_done(self) -> bool:
        """Whether all of it was made into batches."""
        return self.in_batches * self._at_once >= len(self._cells)

    def page(self, index: int) -> JournalPage | None:
        """Return a page as it is now; None beyond the last."""
        first = index * self._at_once
        until = min(first + self._at_once, len(self._cells))
        if first >= until:
            return None
        for number in range(len(self._pages), index + 1):
            self._pages.append(JournalPage(f"{self.minute}.{self._number}.{number}"))
        page = self._pages[index]
        # Those that it has are not touched: they are in no cache, and that takes as long as telling counts.
        for cell in self._cells[first + len(page.places) : until]:
            page.places.append(_place(cell))
            page.counts.append(self[cell])
        return page

    def next(self) -> JournalPage | None:
        """Return the next page to be made into a batch, to which no more comes; None after the last."""
        page = self.page(self.in_batches)
        if page is not None:
            first = self.in_batches * self._at_once
            for cell in self._cells[first : first + self._at_once]:
                self._let_go(cell)
            self.in_batches += 1
        return page

    def _let_go(self, cell: Cell) -> None:
        """Have the key's next request counted elsewhere, and these counts freed once they are written."""
        key, _ = cell
        if isinstance(key, ApiKey) and key.notes.counts is self[cell]:
            key.notes.counts, key.notes.counted_for = [], None


def widen(counts: list[int], position: int) -> None:
    """Have a count at this position, and those before it."""
    counts.extend([0] * (position + 1 - len(counts)))


def _place(cell: Cell) -> Place:
    key, route = cell
    if isinstance(key, Place):
        return key
    return (
        Place(key, "", "", route) if isinstance(key, str) else Place(key.key_id, key.user_id, key.tier, route)
    )
