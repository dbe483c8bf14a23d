"""What every key store keeps of what limits in shadow would have refused; each test runs on every row."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date, timedelta

from extauth.stores.base import KeyStore
from extauth.stores.shadowed import (
    KEPT_DAYS,
    MOST_LIMITS_BEYOND,
    MOST_PLACES,
    OTHER,
    Place,
    ShadowedCount,
)

from .conftest import Run

TODAY = date(2026, 3, 1)
DAY = timedelta(days=1)


def count(place: Place, requests: int = 1, day: date = TODAY) -> ShadowedCount:
    """Return a count."""
    return ShadowedCount(day=day, place=place, requests=requests)


async def kept(store: KeyStore, since: date = TODAY, until: date = TODAY) -> dict[tuple[date, Place], int]:
    """Return what is kept of some days; each place is there once."""
    counts = await store.shadowed(since, until)
    found = {(each.day, each.place): each.requests for each in counts}
    assert len(found) == len(counts)
    return found


def test_counts_are_added_up_by_day_and_place(run: Run) -> None:
    """Of several servers at once too, and whatever characters names have."""
    odd = Place('["a', "b\x1f{}%", 'c", é "d')
    plain, other = Place("a", "b", "c"), Place("a", "b", "d")

    async def scenario(store: KeyStore) -> None:
        assert await kept(store) == {}
        await store.note_shadowed([])
        adding = [
            store.note_shadowed([count(odd, 2), count(plain, 1), count(plain, 3, TODAY - DAY)])
            for _ in range(5)
        ]
        await asyncio.gather(*adding)
        await store.note_shadowed([count(other), count(plain)])
        assert await kept(store) == {(TODAY, odd): 10, (TODAY, plain): 6, (TODAY, other): 1}
        assert await kept(store, TODAY - DAY, TODAY - DAY) == {(TODAY - DAY, plain): 15}
        assert len(await kept(store, TODAY - DAY)) == 4
        assert await kept(store, TODAY + DAY, TODAY) == {}

    run(scenario)


def test_days_are_kept_for_a_while(run: Run) -> None:
    """So many as are promised; what is older is not shown any more."""
    place = Place("a", "b", "c")

    async def scenario(store: KeyStore) -> None:
        for ago in (KEPT_DAYS, KEPT_DAYS - 1, 0):
            await store.note_shadowed([count(place, ago + 1, TODAY - ago * DAY)])
        assert await kept(store, TODAY - 99 * DAY) == {
            (TODAY - (KEPT_DAYS - 1) * DAY, place): KEPT_DAYS,
            (TODAY, place): 1,
        }

    run(scenario)


def test_a_day_tells_a_bounded_number_of_places_apart(run: Run) -> None:
    """Beyond that it counts by limit, and where limits are too many, all together; nothing is lost."""
    known = [Place("a", f"k{number}", "r") for number in range(MOST_PLACES)]
    beyond = [Place(f"l{number}", "k", "r") for number in range(MOST_LIMITS_BEYOND + 7)]

    async def scenario(store: KeyStore) -> None:
        await store.note_shadowed([count(place) for place in known])
        await store.note_shadowed([count(place, 2) for place in (*beyond, *known[:3], Place("l0", "x", "y"))])
        await store.note_shadowed([count(known[0], 1, TODAY + DAY)])
        found = Counter({place: number for (_, place), number in (await kept(store)).items()})
        assert len(found) == MOST_PLACES + MOST_LIMITS_BEYOND + 1
        assert [found[place] for place in known[:4]] == [3, 3, 3, 1]
        assert found[Place("l0", OTHER, OTHER)] == 4
        assert found[Place("l99", OTHER, OTHER)] == 2
        assert found[Place(OTHER, OTHER, OTHER)] == 14
        assert found.total() == MOST_PLACES + 2 * (MOST_LIMITS_BEYOND + 7) + 8
        assert await kept(store, TODAY + DAY, TODAY + DAY) == {(TODAY + DAY, known[0]): 1}

    run(scenario)
