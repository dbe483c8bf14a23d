"""Leases in this process: the store of the embedded mode, and the reference for every other one.

A request may need a slot of several limits, its key's and its route's, say. It takes all of them or none, and
waits for one at a time, the first that has none for it: so nobody is held up in one queue by what is missing
in another.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from extauth.throttle.slots import Blocked, Place, Slots

# How long the end of a request is remembered that holds no lease, and of how many requests.
REMEMBERED_US = 5_000_000
_MOST_REMEMBERED = 100_000
# How much is looked at before others have their turn: a fraction of a millisecond.
SWEPT_AT_ONCE = 500


class Candidate(NamedTuple):
    """A check that asks for slots. `name` is that of its lease, `client` who takes turns with others."""

    name: str
    client: str
    request_id: str


class Ended(NamedTuple):
    """Since when the leases were held that ended, and the slots that are free now."""

    since_us: list[int]
    freed: list[Place]


class Kept(NamedTuple):
    """A lease that outlives its process: its slots, each with when the lease ends there."""

    name: str
    request_id: str
    since_us: int
    places: Sequence[tuple[Place, int]]


class _Held(NamedTuple):
    request_id: str
    places: Sequence[Place]
    since_us: int


_NOTHING = _Held("", (), 0)


class MemoryLeases:
    """Leases by name, filed under the id of their request as well. Times are microseconds since 1970.

    A client may leave so early that the end of its request is reported before the check has taken a slot.
    That is remembered for a while, and who comes then gets none.
    """

    def __init__(self) -> None:
        self._slots: defaultdict[str, Slots] = defaultdict(Slots)
        self._held: dict[str, _Held] = {}
        # Until when it is remembered that a request has ended, oldest first.
        self._early: OrderedDict[str, int] = OrderedDict()
        # One name where a request has one lease, as nearly all have: a set takes three times the memory.
        self._by_request: dict[str, str | set[str]] = {}
        self.taken = 0  # leases since the start

    def in_flight(self, bucket: str, now_us: int) -> int:
        """Return how many leases of this limit are held."""
        return self._slots[bucket].in_flight(now_us) if bucket in self._slots else 0

    def take(
        self, candidate: Candidate, places: Sequence[Place], now_us: int, *, may_wait: bool = True
    ) -> Blocked | None:
        """Take a slot of every limit, or wait for the first that has none; None where all were taken.

        One that may not wait gives up, if it waited.
        """
        name = candidate.name
        if self._early.get(candidate.request_id, 0) > now_us:
            return self._wait(candidate, places, places[0], now_us, may_wait=False)
        for place in places:
            if not self._slots[place.bucket].has_turn(name, place.limit, now_us):
                return self._wait(candidate, places, place, now_us, may_wait=may_wait)
        for place in places:
            self._slots[place.bucket].lease(name, place.limit, now_us)
        self._held[name] = tuple.__new__(_Held, (candidate.request_id, places, now_us))
        self._file(candidate.request_id, name)
        self.taken += 1
        return None

    def _file(self, request_id: str, name: str) -> None:
        filed = self._by_request.setdefault(request_id, name)
        if isinstance(filed, set):
            filed.add(name)
        elif filed is not name:
            self._by_request[request_id] = {filed, name}

    def _wait(
        self, candidate: Candidate, places: Sequence[Place], blocked: Place, now_us: int, *, may_wait: bool
    ) -> Blocked:
        if not may_wait:
            self.give_up(candidate.name, places)
            return Blocked(blocked, waits=False)
        for place in places:
            if place is not blocked:
                self._slots[place.bucket].queue.leave(candidate.name)
        slots = self._slots[blocked.bucket]
        waits, ousted = slots.wait(candidate.name, candidate.client, blocked.limit, now_us)
        return Blocked(blocked, waits, ousted)

    def give_up(self, name: str, places: Sequence[Place]) -> None:
        """End somebody's wait."""
        for place in places:
            self._slots[place.bucket].queue.leave(name)

    def __len__(self) -> int:
        return len(self._held)

    def end(self, request_id: str, lease: str, now_us: int) -> Ended:
        """End a lease, without one all of the request. What is unknown, or ended before, frees nothing."""
        ended = Ended([], [])
        self.end_into(ended, request_id, lease, now_us)
        return ended

    def end_into(self, ended: Ended, request_id: str, lease: str, now_us: int) -> bool:
        """Do the same, and add what has ended to what did before; tell whether anything has."""
        before = len(ended.since_us)
        if lease:
            self._end_one(lease, now_us, ended)
            return len(ended.since_us) > before
        names = self._names(request_id, lease)
        if not names:
            self._early[request_id] = now_us + REMEMBERED_US
            # The oldest stays first.
            self._early.move_to_end(request_id)
            if len(self._early) > _MOST_REMEMBERED:
                self._early.popitem(last=False)
        for name in names:
            self._end_one(name, now_us, ended)
        return len(ended.since_us) > before

    def _end_one(self, name: str, now_us: int, ended: Ended) -> None:
        held = self._held.get(name)
        # One that has ended by itself is left to the sweep, which counts it.
        if held is None or not self._holds(name, now_us):
            return
        self._forget(name)
        ended.since_us.append(held.since_us)
        for place in held.places:
            if self._slots[place.bucket].let_go(name):
                ended.freed.append(place)

    def renew(self, request_id: str, lease: str, now_us: int) -> None:
        """Have leases of a request that still runs last longer."""
        for name in self._names(request_id, lease):
            for place in self._held.get(name, _NOTHING).places:
                self._slots[place.bucket].renew(name, place.limit, now_us)

    def called(self, place: Place, now_us: int) -> list[str]:
        """Return those who wait for a slot of this limit and whose turn has come."""
        return self._slots[place.bucket].called(place.limit, now_us)

    def sweep(self, now_us: int) -> int:
        """Forget what ended by itself; return how many leases did: their ends were never reported."""
        return sum(self.sweep_in_parts(now_us))

    def sweep_in_parts(self, now_us: int) -> Iterator[int]:
        """Do the same little by little, so that others have their turn after each part."""
        looked = ended = 0
        for bucket in list(self._slots):
            slots, more = self._slots[bucket], True
            while more:
                expired, more = slots.take_expired(now_us, SWEPT_AT_ONCE)
                ended += sum(self._forget_expired(name, now_us) for name in expired)
                looked += 1 + len(expired)
                if more or looked >= SWEPT_AT_ONCE:
                    yield ended
                    looked = ended = 0
            if slots.is_empty(now_us):
                del self._slots[bucket]
        yield ended
        while self._early and next(iter(self._early.values())) <= now_us:
            self._early.popitem(last=False)
            looked += 1
            if looked >= SWEPT_AT_ONCE:
                yield 0
                looked = 0

    def _forget_expired(self, name: str, now_us: int) -> bool:
        """Forget one that ended in a slot by itself, unless it holds others; tell whether it has ended."""
        held = self._held.get(name)
        # Of slots that end at different times the last one counts.
        if held is None or (len(held.places) > 1 and self._holds(name, now_us)):
            return False
        self._forget(name)
        return True

    def held(self, now_us: int) -> list[Kept]:
        """Return all leases that are held."""
        return [
            Kept(
                name,
                held.request_id,
                held.since_us,
                [(place, self._slots[place.bucket].until(name)) for place in held.places],
            )
            for name, held in self._held.items()
            if self._holds(name, now_us)
        ]

    def restore(self, kept: Iterable[Kept], now_us: int) -> None:
        """Hold what another process held before; the next sweep takes those that have ended by now.

        None is held for longer than a lease taken now, though the clock was set back meanwhile.
        """
        for name, request_id, since_us, places in kept:
            for place, until_us in places:
                longest_us = now_us + place.limit.lease_us
                self._slots[place.bucket].hold(name, min(until_us, longest_us))
            self._held[name] = _Held(request_id, [place for place, _ in places], since_us)
            self._file(request_id, name)

    def _names(self, request_id: str, lease: str) -> list[str]:
        if lease:
            return [lease]
        filed = self._by_request.get(request_id, ())
        return [filed] if isinstance(filed, str) else list(filed)

    def _holds(self, name: str, now_us: int) -> bool:
        for place in self._held.get(name, _NOTHING).places:
            if self._slots[place.bucket].holds(name, now_us):
                return True
        return False

    def _forget(self, name: str) -> None:
        request_id = self._held.pop(name, _NOTHING).request_id
        filed = self._by_request.get(request_id)
        if isinstance(filed, set):
            filed.discard(name)
        if filed == name or not filed:
            self._by_request.pop(request_id, None)
