"""Counts of one minute, from one moment on, on pages of places as stores take them."""

from __future__ import annotations

from itertools import islice

from extauth.usage.sheet import USUAL, CountingSheet, JournalPage, Whose

# A page, and where among its usual counts those of a place begin.
Spot = tuple[JournalPage, int]


class Segment:
    """The pages on which requests are counted, of `at_once` places each.

    The first `in_batches` of them were made into batches. Whoever adds a place remembers where it is, and
    needn't have it looked up.
    """

    def __init__(self, minute: int, number: int, at_once: int) -> None:
        self.minute = minute
        self.in_batches = 0
        # Whether the journal has all of it, to which no more comes: to look at thousands of pages takes time.
        self.is_settled = False
        # What its pages are of. Not the segment itself: keys point at sheets, and these at pages.
        self.this = object()
        self._number = number
        self._at_once = at_once
        self._spots: dict[tuple[Whose, str], Spot] = {}
        self._pages: list[JournalPage] = []
        # To which places are added; a full one at first.
        self._newest = CountingSheet(used=at_once, is_full=True)

    def __len__(self) -> int:
        return sum(page.sheet.used for page in self._pages)

    def add(self, whose: Whose, route: str) -> Spot:
        """Return a new place."""
        if self._newest.is_full:
            self._newest = CountingSheet()
            self._begin_page(self._newest)
        return self._newest.page, self._newest.add(whose, route, self._at_once)

    def go_on(self, sheet: CountingSheet) -> JournalPage | None:
        """Return a new page of a sheet of the minute before; None where few of its places are still used.

        Where many keys are in use, most checks are the first of their key in a minute: so each of them finds
        its place, where looking up or adding one takes longer than all else that counting does.
        """
        if not sheet.may_go_on or not sheet.page.is_dense:
            sheet.is_left = True
            return None
        return self._begin_page(sheet)

    def _begin_page(self, sheet: CountingSheet) -> JournalPage:
        name = f"{self.minute}.{self._number}.{len(self._pages)}"
        page = JournalPage(name, sheet, of=self.this, counts=[0] * (self._at_once * USUAL))
        self._pages.append(page)
        sheet.begin_page(page)
        return page

    def place_of(self, whose: Whose, route: str) -> Spot:
        """Return where somebody's requests are counted: a new place where none is remembered."""
        found = self._spots.get((whose, route))
        if found is None:
            found = self._spots[whose, route] = self.add(whose, route)
        return found

    def remember(self, whose: Whose, route: str, spot: Spot) -> None:
        """Have a place found by `place_of`."""
        self._spots[whose, route] = spot

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
        page.sheet.name_places()
        return page

    def next(self) -> JournalPage | None:
        """Return the next page to be made into a batch, to which no more comes; None after the last."""
        page = self.page(self.in_batches)
        if page is not None:
            self.in_batches += 1
        return page
