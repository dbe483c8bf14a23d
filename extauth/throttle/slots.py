"""The slots of one concurrency limit: a pure structure that knows no store, no clock and no key.

A lease is held until it is let go of or ends by itself. Whoever finds no slot may wait; a slot that is free
belongs to those who wait before it belongs to anybody who comes. Nothing is handed out to a waiter: it is
told that its turn has come and asks again, so that one whose server died only holds up the others until it
would have given up.
"""

from __future__ import annotations

from typing import NamedTuple

from extauth.model import Per
from extauth.throttle.ends import Ends
from extauth.throttle.queue import FairQueue


class Concurrency(NamedTuple):
    """How many requests may be in flight at once, and how many more may wait for how long (microseconds).

    `lease_us` is how long a request is taken to be in flight whose end nobody reports. `is_grace` says that
    they wait only because the report of a client's own last request may be late.
    """

    most: int
    lease_us: int
    queue: int
    wait_us: int
    name: str = "concurrency"
    per: Per = Per.KEY
    is_grace: bool = False


class Place(NamedTuple):
    """A slot that a request needs: of which limit, and whose.

    `bucket` is its whole name: `subject`, whose it is, and `field`, which of theirs.
    """

    bucket: str
    limit: Concurrency
    subject: str = ""
    field: str = ""


class Blocked(NamedTuple):
    """The limit that had no slot, whether the check may wait for one, and who gave way for that.

    In `again_us` a lease ends that nobody would call it for; 0 where it is called.
    """

    place: Place
    waits: bool
    ousted: str | None = None
    again_us: int = 0


class Waiting(NamedTuple):
    """Whether somebody may wait; `ousted` is who has to give up waiting for that, if anybody has."""

    accepted: bool
    ousted: str | None = None


class Slots:
    """Leases and waiters of one subject's limit, by name."""

    def __init__(self) -> None:
        self._ends = Ends()
        self._leases = self._ends.until
        self._expired: list[str] = []
        self.queue = FairQueue()
        self._waiting = self.queue.by_name

    def in_flight(self, now_us: int) -> int:
        """Return how many leases are held."""
        self._expire(now_us)
        return len(self._leases)

    def has_turn(self, name: str, limit: Concurrency, now_us: int) -> bool:
        """Tell whether there is a slot for this one, and nobody waits who comes before it."""
        if self._waiting or len(self._leases) >= limit.most:
            # What has ended matters to nobody before that.
            self._expire(now_us)
        free = limit.most - len(self._leases)
        if free <= 0:
            return False
        if not self._waiting:
            return True
        return self.queue.place_of(name) < free if name in self._waiting else len(self._waiting) < free

    def lease(self, name: str, limit: Concurrency, now_us: int) -> None:
        """Take a slot, for one whose turn it is."""
        if self._waiting:
            self.queue.leave(name, served=True)
        self._ends.put(name, now_us + limit.lease_us)

    def wait(self, name: str, client: str, limit: Concurrency, now_us: int) -> Waiting:
        """Wait for a slot, if there is room to wait. Whoever waits already goes on."""
        self._expire(now_us)
        if name in self.queue:
            return Waiting(accepted=True)
        ousted = None
        if len(self.queue) >= limit.queue:
            ousted = self._to_oust(client)
            if ousted is None:
                return Waiting(accepted=False)
            self.queue.leave(ousted)
        self.queue.join(name, client, now_us + limit.wait_us)
        return Waiting(accepted=True, ousted=ousted)

    def let_go(self, name: str) -> bool:
        """End a lease, or the wait for one; tell whether there was a lease. Nothing is freed twice."""
        if self._waiting:
            self.queue.leave(name)
        return self._ends.drop(name)

    def renew(self, name: str, limit: Concurrency, now_us: int) -> None:
        """Have a lease that is still held last longer."""
        if self.holds(name, now_us):
            self._ends.put(name, now_us + limit.lease_us)

    def called(self, limit: Concurrency, now_us: int) -> list[str]:
        """Return those whose turn has come: as many waiters as there are free slots."""
        self._expire(now_us)
        free = max(limit.most - len(self._leases), 0)
        return [waiter.name for waiter in self.queue.first(free)]

    def holds(self, name: str, now_us: int) -> bool:
        """Tell whether a lease is held."""
        return self._leases.get(name, 0) > now_us

    def until(self, name: str) -> int:
        """Return when a lease ends by itself; 0 where there is none."""
        return self._leases.get(name, 0)

    def hold(self, name: str, until_us: int) -> None:
        """Have a lease until then, whether or not there is room: it was given before."""
        self._ends.put(name, until_us)

    def is_empty(self, now_us: int) -> bool:
        """Tell whether nobody holds a lease and nobody waits."""
        self._expire(now_us)
        return not self._leases and not self.queue

    def take_expired(self, now_us: int, at_most: int) -> tuple[list[str], bool]:
        """Hand over leases that have ended by themselves; tell whether there may be more of them."""
        if len(self._expired) < at_most:
            self._expired += self._ends.over(now_us, at_most)
        expired, self._expired = self._expired[:at_most], self._expired[at_most:]
        return expired, bool(self._expired) or self._ends.has_over(now_us)

    def _to_oust(self, client: str) -> str | None:
        """Return who gives way where the queue is full: whoever would be served later than the newcomer.

        Else one client that floods a shared limit would keep all others from waiting at all.
        """
        if not self.queue:
            return None
        last = self.queue.last()
        return last.name if last.turn > self.queue.turn_of_next(client) else None

    def _expire(self, now_us: int) -> None:
        if expired := self._ends.over(now_us):
            self._expired += expired
        if self._waiting:
            self.queue.expire(now_us)
