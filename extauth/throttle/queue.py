"""Who waits for a slot, in the order in which they are served: first come first served for each client.

On a limit that clients share they take turns, however many one of them sends: each waiter gets a turn when
it comes, the number of the round in which it is served. The first of a client is served in the round that is
on, its second in the next one, and so on (start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996, with
every request of length 1).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush
from typing import NamedTuple


class Waiter(NamedTuple):
    """One check that waits. Compared by `turn`, then by `number`, the order in which they came."""

    turn: int
    number: int
    name: str
    client: str
    until_us: int


class FairQueue:
    """The waiters of one limit. Time is handed in, in microseconds; times may not be negative."""

    def __init__(self) -> None:
        self._order: list[Waiter] = []
        self._by_name: dict[str, Waiter] = {}
        self._ends: list[tuple[int, str]] = []
        # Of clients that wait: the turn of their last waiter, and how many they have.
        self._last_turns: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._round = 0
        self._came = 0

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def turn_of_next(self, client: str) -> int:
        """Return the round in which a request of this client would be served that came now."""
        last = self._last_turns.get(client)
        return self._round if last is None else max(self._round, last + 1)

    def first(self, number: int) -> list[Waiter]:
        """Return those who are served next."""
        return self._order[:number]

    def last(self) -> Waiter:
        """Return who is served last. Raises IndexError where nobody waits."""
        return self._order[-1]

    def join(self, name: str, client: str, until_us: int) -> Waiter:
        """Have somebody wait until then."""
        waiter = Waiter(self.turn_of_next(client), self._came, name, client, until_us)
        self._came += 1
        insort(self._order, waiter)
        self._by_name[name] = waiter
        heappush(self._ends, (until_us, name))
        self._last_turns[client] = waiter.turn
        self._counts[client] = self._counts.get(client, 0) + 1
        return waiter

    def leave(self, name: str, *, served: bool = False) -> bool:
        """Strike somebody off, who may have been served; tell whether they waited."""
        waiter = self._by_name.pop(name, None)
        if waiter is None:
            return False
        del self._order[bisect_left(self._order, waiter)]
        if served:
            self._round = max(self._round, waiter.turn)
        self._counts[waiter.client] -= 1
        if not self._counts[waiter.client]:
            del self._counts[waiter.client], self._last_turns[waiter.client]
        return True

    def expire(self, now_us: int) -> None:
        """Strike off those who have waited long enough: whoever is still there strikes itself off before."""
        while self._ends and self._ends[0][0] <= now_us:
            until_us, name = heappop(self._ends)
            waiter = self._by_name.get(name)
            if waiter is not None and waiter.until_us == until_us:
                self.leave(name)
