"""Counts of one minute, from one moment on: by key and route, and by pages of places as stores take them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

import orjson

from extauth.model import ApiKey
from extauth.stores.usage import LATENCIES, Page, Place, counts_of_each
from extauth.usage.kept import Counted

# How many counts of a place stand in its page: those of checks that take no more than 2.5 ms. The others, of
# which there are few, are kept beside them.
USUAL = LATENCIES + 4
_ZEROS = [0] * USUAL

# The key, or where nobody was identified the id that was presented; and the route.
Cell = tuple[ApiKey | str | Place, str]


@dataclass(eq=False, slots=True)
class JournalPage(Page):
    """A page, in whose journal it is if it is in one, and what the store has of it for sure.

    `counts` are the usual ones of all places, one place after the other: with thousands of keys most of what
    counting and noting take is memory that is in no cache. `further` are the others, by where the place's
    usual ones begin and by position. Whoever counts says that it has `grown`: where there are many keys, most
    pages have not since they were told, and must cost nothing then.
    """

    counts: list[int] = field(default_factory=list)
    further: dict[tuple[int, int], int] = field(default_factory=dict)
    journal: str = ""
    noted: bytes = b""
    grown: bool = False

    def tell(self) -> bool:
        """Tell what was counted by now; return whether the store lacks something of that."""
        if self.grown:
            self.told = orjson.dumps(self._rows() if self.further else self.counts)
            self.grown = False
        return self.told != self.noted

    def counted(self) -> list[Counted]:
        """Return its places with their counts."""
        return list(zip(self.places, self._rows(), strict=True))

    def _rows(self) -> list[list[int]]:
        rows = counts_of_each(self.counts, len(self.counts) // USUAL)
        for (at, position), number in self.further.items():
            row = rows[at // USUAL]
            row.extend([0] * (position + 1 - len(row)))
            row[position] = number
        return rows


class Segment(dict[Cell, int]):
    """The places where requests are counted, by cell, each under its number.

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
        # All places that stand at the same place of their pages share its number.
        self._begins = tuple(range(0, at_once * USUAL, USUAL))

    def __missing__(self, cell: Cell) -> int:
        number = self[cell] = len(self._cells)
        self._cells.append(cell)
        if number % self._at_once == 0:
            self._pages.append(JournalPage(f"{self.minute}.{self._number}.{number // self._at_once}"))
        self._pages[-1].counts += _ZEROS
        return number

    def place_of(self, cell: Cell) -> tuple[JournalPage, int]:
        """Return the page of a cell, and where among its usual counts the cell's begin."""
        page, place = divmod(self[cell], self._at_once)
        return self._pages[page], self._begins[place]

    def add_further(self, cell: Cell, position: int, number: int) -> None:
        """Add to one of a cell's counts that are not usual."""
        page, begins = self.place_of(cell)
        at = (begins, position)
        page.further[at] = page.further.get(at, 0) + number
        page.grown = True

    @property
    def is_noted(self) -> bool:
        """Whether something of it may be in a journal."""
        return any(page.journal for page in islice(self._pages, self.in_batches, None))

    @property
    def is_done(self) -> bool:
        """Whether all of it was made into batches."""
        return self.in_batches >= len(self._pages)

    def page(self, index: int) -> JournalPage | None:
        """Return a page as it is now; None beyond the last."""
        if index >= len(self._pages):
            return None
        page, first = self._pages[index], index * self._at_once
        # Those that it has are not touched: they are in no cache, and that takes as long as telling counts.
        if (has := len(page.places)) < self._at_once:
            page.places += map(_place, self._cells[first + has : first + self._at_once])
        return page

    def next(self) -> JournalPage | None:
        """Return the next page to be made into a batch, to which no more comes; None after the last."""
        page = self.page(self.in_batches)
        if page is not None:
            first = self.in_batches * self._at_once
            for cell in self._cells[first : first + self._at_once]:
                _let_go(cell, page)
            self.in_batches += 1
        return page


def _let_go(cell: Cell, page: JournalPage) -> None:
    """Have the key's next request counted elsewhere, and the page freed once it is written."""
    key, _ = cell
    if isinstance(key, ApiKey) and key.notes.counted_in is page:
        key.notes.counted_in = key.notes.counted_for = None


def _place(cell: Cell) -> Place:
    key, route = cell
    if isinstance(key, Place):
        return key
    if isinstance(key, str):
        return Place(key, "", "", route)
    # One for each key and minute: the named tuple's own constructor takes twice as long.
    return tuple.__new__(Place, (key.key_id, key.user_id, key.tier, route))
