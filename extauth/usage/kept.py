"""Counts that the store did not take: kept by minute and place, within a bound, until it does."""

from __future__ import annotations

from collections.abc import Iterable

from extauth.stores.usage import OTHER, Place, added

Counted = tuple[Place, list[int]]


class Kept:
    """Up to `most` places, each in each of its minutes; beyond them keys and users are told apart no more.

    To add something costs as much as is added, however much there is: a store may be gone for hours.
    """

    def __init__(self, most: int) -> None:
        # Below zero where `other` came on top.
        self._room = most
        self._minutes: dict[int, dict[Place, list[int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._minutes)

    def add(self, minute: int, counted: Iterable[Counted]) -> None:
        """Add counts of a minute, in seconds since 1970. The lists are kept, so nobody may change them."""
        known = self._minutes.get(minute, {})
        for whose, counts in counted:
            is_apart = whose in known or self._room > 0
            place = whose if is_apart else Place(OTHER, OTHER, whose.tier, whose.route)
            if place in known:
                known[place] = added(known[place], counts)
            else:
                known[place] = counts
                self._room -= 1
        if known:
            self._minutes[minute] = known

    def take(self, most: int) -> tuple[int, list[Counted]]:
        """Take up to so many places of the oldest minute out; return it with them, or nothing of minute 0."""
        if not self._minutes:
            return 0, []
        minute = min(self._minutes)
        known = self._minutes[minute]
        taken = [known.popitem() for _ in range(min(most, len(known)))]
        self._room += len(taken)
        if not known:
            del self._minutes[minute]
        return minute, taken
