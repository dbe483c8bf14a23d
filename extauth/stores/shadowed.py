"""Whom limits in shadow would have refused: counts by day, and what stores promise about them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple, Protocol

# How many days are kept, that of the newest count among them.
KEPT_DAYS = 30
# How many places a day tells apart; what comes then is told by its limit alone, and where even these are too
# many, by nothing.
MOST_PLACES = 2_000
MOST_LIMITS_BEYOND = 100
# What stands in a place for all that is not told apart, and for callers without a key.
OTHER = "other"
ANONYMOUS = "anonymous"
BOUNDS = (MOST_PLACES, MOST_PLACES + MOST_LIMITS_BEYOND, sys.maxsize)


class Place(NamedTuple):
    """A limit, the key that it would have refused, and the route that was asked for."""

    limit: str
    key_id: str
    route: str

    def widening(self) -> tuple[Place, Place, Place]:
        """Return what it may be counted as, the closest first."""
        return self, Place(self.limit, OTHER, OTHER), Place(OTHER, OTHER, OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowedCount:
    """How many requests a limit in shadow would have refused on a day, in UTC."""

    day: date
    place: Place
    requests: int


class ShadowedStore(Protocol):
    """Keeps such counts for `KEPT_DAYS`. Every method may raise StoreError."""

    async def note_shadowed(self, counts: Sequence[ShadowedCount]) -> None:
        """Add counts up. Of a day no more places are told apart than `BOUNDS` allow."""
        ...

    async def shadowed(self, since: date, until: date) -> Sequence[ShadowedCount]:
        """Return the counts of these days, both included, in any order."""
        ...


def place_among(place: Place, is_known: Callable[[Place], bool], number: int) -> Place:
    """Return what a place is counted as on a day that has that many places already."""
    for counted, most in zip(place.widening(), BOUNDS, strict=True):
        if number < most or is_known(counted):
            return counted
    raise AssertionError  # the last has no bound


def oldest_kept(newest: date) -> date:
    """Return the first day that is kept."""
    return newest - timedelta(days=KEPT_DAYS - 1)
