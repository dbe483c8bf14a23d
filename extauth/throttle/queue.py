"""Who waits for a slot, in the order in which they are served: first come first served for each client.

On a limit that clients share they take turns, however many one of them sends: each waiter gets a turn when
it comes, the number of the round in which it is served. The first of a client is served in the round that is
on, its second in the next one, and so on (start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996, with
every request of length 1). Whoever has been served in this round comes in the next one: else those who send
one request after the other would pass, again and again, whoever sends several at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from extauth.throttle.ends import Ends

# Of how many clients it is known that they have been served: a round has no end while ever more of them come.
_MOST_SERVED = 10_000


class Waiter(NamedTuple):
    """One check that waits. Compared by `turn`, then by `number`, the order in which they came."""

    turn: int
    number: int
    name: str
    client: str
    until_us: int


class FairQueue:
    """The waiters of one limit. Time is handed in, in microseconds; times may not be negative.

    Only its methods may change `by_name`, which is empty while nobody waits.
    """

    def __init__(self) -> None:
        self._order: list[Waiter] = []
        self.by_name: dict[str, Waiter] = {}
        self._ends = Ends()
        # Of clients that wait: the turn of their last waiter, and how many they have.
        self._last_turns: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._round = 0
        self._served: set[str] = set()  # in the round that is on
        self._came = 0

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def turn_of_next(self, client: str) -> int:
        """Return the round in which a request of this client would be served that came now."""
        last = self._last_turns.get(client, self._round if client in self._served else -1)
        return max(self._round, last + 1)

    def place_of(self, name: str) -> int:
        """Return how many are served before this one. Raises KeyError where it doesn't wait."""
        return bisect_left(self._order, self.by_name[name])

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
        self.by_name[name] = waiter
        self._ends.put(name, until_us)
        self._last_turns[client] = waiter.turn
        self._counts[client] = self._counts.get(client, 0) + 1
        return waiter

    def leave(self, name: str, *, served: bool = False) -> bool:
        """Strike somebody off, who may have been served; tell whether they waited."""
        waiter = self.by_name.pop(name, None)
        if waiter is None:
            return False
        self._ends.drop(name)
        del self._order[bisect_left(self._order, waiter)]
        if served:
            self._serve(waiter)
        self._counts[waiter.client] -= 1
        if not self._counts[waiter.client]:
            del self._counts[waiter.client], self._last_turns[waiter.client]
        if not self.by_name:
            self._served.clear()
        return True

    def _serve(self, waiter: Waiter) -> None:
        if waiter.turn > self._round or len(self._served) >= _MOST_SERVED:
            self._served.clear()
        self._round = max(self._round, waiter.turn)
        if waiter.turn == self._round:
            self._served.add(waiter.client)

    def expire(self, now_us: int) -> None:
        """Strike off those who have waited long enough: whoever is still there strikes itself off before."""
        for name in self._ends.over(now_us):
            self.leave(name)
