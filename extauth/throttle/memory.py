"""Leases in this process: the store of the embedded mode, and the reference for every other one.

A request may need a slot of several limits, its key's and its route's, say. It takes all of them or none, and
waits for one at a time, the first that has none for it: so nobody is held up in one queue by what is missing
in another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from extauth.throttle.slots import Concurrency, Slots


class Place(NamedTuple):
    """A slot that a request needs: of which limit, and whose, by the name of its bucket."""

    bucket: str
    limit: Concurrency


class Candidate(NamedTuple):
    """A check that asks for slots. `name` is that of its lease, `client` who takes turns with others."""

    name: str
    client: str
    request_id: str


class Blocked(NamedTuple):
    """The limit that had no slot, whether the check may wait for one, and who gave way for that."""

    place: Place
    waits: bool
    ousted: str | None = None


class Held(NamedTuple):
    """A lease: its slots, whose request it is, and since when (microseconds since 1970)."""

    request_id: str
    places: Sequence[Place]
    since_us: int


class MemoryLeases:
    """Leases by name, filed under the id of their request as well. Times are microseconds since 1970."""

    def __init__(self) -> None:
        self._slots: defaultdict[str, Slots] = defaultdict(Slots)
        self._held: dict[str, Held] = {}
        self._by_request: defaultdict[str, set[str]] = defaultdict(set)

    def in_flight(self, bucket: str, now_us: int) -> int:
        """Return how many leases of this limit are held."""
        return self._slots[bucket].in_flight(now_us) if bucket in self._slots else 0

    def blocked(self, name: str, places: Sequence[Place], now_us: int) -> Place | None:
        """Return the first limit that has no slot for this one; None where all have."""
        return next(
            (place for place in places if not self._slots[place.bucket].has_turn(name, place.limit, now_us)),
            None,
        )

    def take(self, candidate: Candidate, places: Sequence[Place], now_us: int) -> Blocked | None:
        """Take a slot of every limit, or wait for the first that has none; None where all were taken."""
        blocked = self.blocked(candidate.name, places, now_us)
        for place in places:
            if place is not blocked and blocked is not None:
                self._slots[place.bucket].queue.leave(candidate.name)
        if blocked is not None:
            slots = self._slots[blocked.bucket]
            waits, ousted = slots.wait(candidate.name, candidate.client, blocked.limit, now_us)
            return Blocked(blocked, waits, ousted)
        for place in places:
            self._slots[place.bucket].lease(candidate.name, place.limit, now_us)
        self._held[candidate.name] = Held(candidate.request_id, places, now_us)
        self._by_request[candidate.request_id].add(candidate.name)
        return None

    def give_up(self, name: str, places: Sequence[Place]) -> None:
        """End somebody's wait."""
        for place in places:
            self._slots[place.bucket].queue.leave(name)

    def end(self, request_id: str, lease: str = "") -> list[Place]:
        """End a lease, without one all of the request; return the slots that are free now.

        What is unknown, or ended before, frees nothing.
        """
        freed: list[Place] = []
        for name in self._names(request_id, lease):
            held = self._forget(name)
            if held is not None:
                freed += [place for place in held.places if self._slots[place.bucket].let_go(name)]
        return freed

    def since(self, request_id: str, lease: str, now_us: int) -> list[int]:
        """Return since when the leases are held that `end` would end now."""
        found = [self._held[name] for name in self._names(request_id, lease) if self._holds(name, now_us)]
        return [held.since_us for held in found]

    def renew(self, request_id: str, lease: str, now_us: int) -> None:
        """Have leases of a request that still runs last longer."""
        for name in self._names(request_id, lease):
            held = self._held.get(name)
            for place in () if held is None else held.places:
                self._slots[place.bucket].renew(name, place.limit, now_us)

    def called(self, place: Place, now_us: int) -> list[str]:
        """Return those who wait for a slot of this limit and whose turn has come."""
        return self._slots[place.bucket].called(place.limit, now_us)

    def sweep(self, now_us: int) -> int:
        """Forget what ended by itself; return how many leases did: their ends were never reported."""
        ended = [name for name in self._held if not self._holds(name, now_us)]
        for name in ended:
            self._forget(name)
        for bucket in [bucket for bucket, slots in self._slots.items() if slots.is_empty(now_us)]:
            del self._slots[bucket]
        return len(ended)

    def _names(self, request_id: str, lease: str) -> list[str]:
        return [lease] if lease else list(self._by_request.get(request_id, ()))

    def _holds(self, name: str, now_us: int) -> bool:
        held = self._held.get(name)
        return held is not None and any(
            self._slots[place.bucket].holds(name, now_us) for place in held.places
        )

    def _forget(self, name: str) -> Held | None:
        held = self._held.pop(name, None)
        if held is not None:
            names = self._by_request[held.request_id]
            names.discard(name)
            if not names:
                del self._by_request[held.request_id]
        return held
