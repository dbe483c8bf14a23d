"""Places where requests are counted, together while most of them are used, and their counts of a minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import starmap

import orjson

from extauth.lasting import lasting
from extauth.model import Identified
from extauth.stores.usage import (
    LARGEST_PAGE,
    LATENCY_SUM,
    UPSTREAM,
    Page,
    Place,
    PlainPlace,
    Sheet,
    counts_of_each,
)
from extauth.usage.kept import Counted

# How many counts of a place stand in its page: those of checks. What ends of requests tell is kept beside
# them, as few proxies report any.
USUAL = UPSTREAM
# Where on a page the usual counts of its places begin: the same numbers for all sheets, or else each key in
# use would have one of its own in memory.
_BEGINNINGS = tuple(range(0, LARGEST_PAGE * USUAL, USUAL))

# Who was identified, or where nobody was identified the id that was presented; or where an upstream answered.
Whose = Identified | str | Place


@dataclass(eq=False, slots=True)
class CountingSheet(Sheet):
    """A sheet, `whose` requests are counted on it and by which `routes`, and the `page` that is counted on.

    Once it is full and told it knows names only. Keys point at it: else each would keep all others in memory.
    One that `is_left` has its last page. So many of its `pages` are not written yet.
    """

    whose: list[Whose] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    used: int = 0
    pages: int = 0
    is_full: bool = False
    is_left: bool = False
    page: JournalPage = field(init=False)

    def add(self, whose: Whose, route: str, most: int) -> int:
        """Add a place; return where on a page its usual counts begin."""
        begins = _BEGINNINGS[self.used]
        self.used += 1
        self.is_full = self.used == most
        self.whose.append(whose)
        self.routes.append(route)
        return begins

    def name_places(self) -> None:
        """Put those into words that came since it was done last."""
        # Those that it has are not touched: they are in no cache, and that takes as long as telling counts.
        if (has := len(self.places)) < self.used:
            self.places += map(_place, self.whose[has:], self.routes[has:])
            if self.is_full:
                self.whose, self.routes = [], []

    def begin_page(self, page: JournalPage) -> None:
        """Go on with another page."""
        self.page = page
        self.pages += 1

    def end_page(self) -> None:
        """Hear that a page is written; they may be in any order.

        With the last of them go the places, unless they will be used again: a key that was counted on it may
        point at it for long.
        """
        self.pages -= 1
        if not self.pages and not (self.may_go_on and self.page.is_dense):
            self.places, self.whose, self.routes = [], [], []
            self.is_left = True

    @property
    def may_go_on(self) -> bool:
        """Whether it may have further pages; one that isn't full hasn't, as each page has all its places."""
        return self.is_full and not self.is_left


@dataclass(eq=False, slots=True)
class JournalPage(Page):
    """A page, in whose journal it is if it is in one, and what the store has of it for sure.

    `counts` are the usual ones of all places, one place after the other: with thousands of keys most of what
    counting and noting take is memory that is in no cache. `further` are the others, by where the place's
    usual ones begin and by position. Whoever counts says that it has `grown`: where there are many keys, most
    pages have not since they were told, and must cost nothing then. All of a segment are `of` the same.
    """

    sheet: CountingSheet = field(default_factory=CountingSheet)
    of: object = None
    counts: list[int] = field(default_factory=list)
    further: dict[tuple[int, int], int] = field(default_factory=dict)
    journal: str = ""
    noted: bytes = b""
    grown: bool = False
    is_empty: bool = False
    was_dense: bool = False

    def tell(self) -> bool:
        """Tell what was counted by now; return whether the store lacks something of that."""
        if self.grown:
            self.told = lasting(orjson.dumps(self._rows() if self.further else self._usual()))
            self.grown = False
        return self.told != self.noted

    def add_further(self, begins: int, position: int, number: int) -> None:
        """Add to one of a place's counts that are not usual; its usual ones begin there."""
        at = (begins, position)
        self.further[at] = self.further.get(at, 0) + number
        self.grown = True

    def counted(self) -> list[Counted]:
        """Return the places that were counted at, with their counts."""
        rows = zip(starmap(Place, self.places), self._rows(), strict=True)
        return [(place, row) for place, row in rows if any(row)]

    @property
    def is_dense(self) -> bool:
        """Whether most of its places were counted at: then they will be in the next minute too."""
        if self.is_empty:
            return self.was_dense
        # No check takes no time at all, but for those that a clock's jump back makes seem so.
        return 2 * self.counts[LATENCY_SUM::USUAL].count(0) <= len(self.counts) // USUAL

    def empty(self) -> None:
        """Hold no counts any more: they are written. Nor does its sheet hold anything if nobody goes on."""
        self.was_dense, self.is_empty = self.is_dense, True
        self.counts, self.further = [], {}
        self.sheet.end_page()

    def _usual(self) -> list[int]:
        used = self.sheet.used * USUAL
        return self.counts if used == len(self.counts) else self.counts[:used]

    def _rows(self) -> list[list[int]]:
        rows = counts_of_each(self._usual(), self.sheet.used)
        for (at, position), number in self.further.items():
            row = rows[at // USUAL]
            row.extend([0] * (position + 1 - len(row)))
            row[position] = number
        return rows


def _place(whose: Whose, route: str) -> PlainPlace:
    if isinstance(whose, Place):
        return whose
    if isinstance(whose, str):
        return whose, "", "", route
    key = whose.key
    return key.key_id, key.user_id, key.tier, route
