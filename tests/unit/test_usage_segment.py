"""Where requests are counted: what noting them costs."""

from __future__ import annotations

import pytest

from extauth.stores.usage import ALLOWED, UPSTREAM_REPORTED
from extauth.usage.segment import Segment
from extauth.usage.sheet import JournalPage
from tests.keys import identified
from tests.memory import bytes_kept

KEYS = [identified(key_id=f"k{number:011}") for number in range(5)]


@pytest.mark.parametrize("position", [ALLOWED, UPSTREAM_REPORTED], ids=["a check", "a report"])
def test_only_pages_that_were_counted_in_are_told_again(position: int) -> None:
    """With 100,000 keys there are thousands of pages, which all are looked at each second."""
    segment = Segment(0, 0, 2)
    places = [segment.add(key, "orders") for key in KEYS]
    for where, begins in places:
        where.add_further(begins, ALLOWED, 1)
    pages = [page for index in range(3) if (page := segment.page(index)) is not None]
    told = [_told(page) for page in pages]
    third, begins = places[2]
    third.add_further(begins, position, 1)
    assert [_told(page) is before for page, before in zip(pages, told, strict=True)] == [True, False, True]


def _told(page: JournalPage) -> bytes:
    page.tell()
    return page.told


def test_what_a_page_has_told_takes_no_more_memory_than_it_needs() -> None:
    """It is kept for a minute, of each of the 2,000 pages that 100,000 keys are counted on."""
    segment = Segment(0, 0, 50)
    pages = [segment.add(f"k{number:011}", "orders")[0] for number in range(50)]
    page = pages[0]
    page.grown = True
    # Beside it there is what measuring takes.
    assert len(page.counts) <= bytes_kept(lambda: _told(page)) <= len(page.told) + 1_000
