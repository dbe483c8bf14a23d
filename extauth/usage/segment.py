"""Counts of one minute, from one moment on: by key and route, and by pages of places as stores take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, starmap

import orjson

from extauth.model import ApiKey, CountedPage
from extauth.stores.usage import LATENCIES, Page, Place, PlainPlace, counts_of_each
from extauth.usage.kept import Counted

# How many counts of a place stand in its page: those of checks that take no more than 2.5 ms. The others, of
# which there are few, are kept beside them.
USUAL = LATENCIES + 4

# The key, or where nobody was identified the id that was presented; or where an upstream answered.
Whose = ApiKey | str | Place


@dataclass(eq=False, slots=True)
class JournalPage(Page):
    """A page, in whose journal it is if it is in one, and what the store has of it for sure.

    `counts` are the usual ones of all places, one place after the other: with thousands of keys most of what
    counting and noting take is memory that is in no cache. `further` are the others, by where the place's
    usual ones begin and by position. Whoever counts says that it has `grown`: where there are many keys, most
    pages have not since they were told, and must cost nothing then. `whose` and `routes` say of each place
    whose requests and by which route.
    """

    whose: list[Whose] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    further: dict[tuple[int, int], int] = field(default_factory=dict)
    journal: str = ""
    noted: bytes = b""
    grown: bool = False

    def tell(self) -> bool:
        """Tell what was counted by now; return whether the store lacks something of that."""
        if self.grown:
            self.told = orjson.dumps(self._rows() if self.further else self._usual())
            self.grown = False
        return self.told != self.noted

    def add_further(self, begins: int, position: int, number: int) -> None:
        """Add to one of a place's counts that are not usual; its usual ones begin there."""
        at = (begins, position)
        self.further[at] = self.further.get(at, 0) + number
        self.grown = True

    def name_places(self) -> None:
        """Put those into words that came since it was done last."""
        # Those that it has are not touched: they are in no cache, and that takes as long as telling counts.
        if (has := len(self.places)) < len(self.whose):
            self.places += map(_place, self.whose[has:], self.routes[has:])

    def counted(self) -> list[Counted]:
        """Return its places with their counts."""
        return list(zip(starmap(Place, self.places), self._rows(), strict=True))

    def empty(self) -> None:
        """Hold nothing any more: a key that was counted in it may point at it for long."""
        self.whose, self.routes = [], []
        self.places, self.counts = [], []
        self.further = {}

    def _usual(self) -> list[int]:
        used = len(self.whose) * USUAL
        return self.counts if used == len(self.counts) else self.counts[:used]

    def _rows(self) -> list[list[int]]:
        rows = counts_of_each(self._usual(), len(self.whose))
        for (at, position), number in self.further.items():
            row = rows[at // USUAL]
            row.extend([0] * (position + 1 - len(row)))
            row[position] = number
        return rows


class Segment:
    """The places where requests are counted, in pages of `at_once` places.

    The first `in_batches` of them were made into batches.

    Whoever adds a place remembers where it is, and needn't have it looked up.
    """

    def __init__(self, minute: int, number: int, at_once: int) -> None:
        self.minute = minute
        self.in_batches = 0
        self._number = number
        self._at_once = at_once
        self._places: dict[tuple[Whose, str], tuple[CountedPage, int]] = {}
        self._pages: list[JournalPage] = []
        # All places that stand at the same place of their pages share its number. None is left at first.
        self._begins = tuple(range(0, at_once * USUAL, USUAL))
        self._free: Iterator[int] = iter(())

    def __len__(self) -> int:
        return sum(len(page.whose) for page in self._pages)

    def add(self, whose: Whose, route: str) -> tuple[CountedPage, int]:
        """Return a new place: its page, and where among the usual counts of that its own begin."""
        begins = next(self._free, None)
        if begins is None:
            self._begin_page()
            begins = next(self._free)
        page = self._pages[-1]
        page.whose.append(whose)
        page.routes.append(route)
        return page, begins

    def _begin_page(self) -> None:
        name = f"{self.minute}.{self._number}.{len(self._pages)}"
        self._pages.append(JournalPage(name, counts=[0] * (self._at_once * USUAL)))
        self._free = iter(self._begins)

    def place_of(self, whose: Whose, route: str) -> tuple[CountedPage, int]:
        """Return where somebody's requests are counted: a new place where none is remembered."""
        found = self._places.get((whose, route))
        if found is None:
            found = self._places[whose, route] = self.add(whose, route)
        return found

    def remember(self, whose: Whose, route: str, place: tuple[CountedPage, int]) -> None:
        """Have a place found by `place_of`."""
        self._places[whose, route] = place

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
        page = self._pages[index]
        page.name_places()
        return page

    def next(self) -> JournalPage | None:
        """Return the next page to be made into a batch, to which no more comes; None after the last."""
        page = self.page(self.in_batches)
        if page is not None:
            self.in_batches += 1
        return page


def _place(whose: Whose, route: str) -> PlainPlace:
    if isinstance(whose, Place):
        return whose
    if isinstance(whose, str):
        return whose, "", "", route
    return whose.key_id, whose.user_id, whose.tier, route
