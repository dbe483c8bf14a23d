"""When keys were last used, and who still uses a rotated one: noted off the hot path, written in batches.

A key's last use is written once a minute at most, unless its record changes; what is not written yet is
written at the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque

import structlog

from extauth.clock import MICROSECONDS, from_us, to_us
from extauth.errors import StoreError
from extauth.model import Identified
from extauth.stores.base import NO_CALLS, OTHER_ADDRESSES, KeyStore, KeyUse

WRITE_EVERY_SECONDS = 5.0
# How often one key's last use is written at most, in microseconds, and how many writes that are.
GRAIN_US = 60 * MICROSECONDS
_WRITES = int(GRAIN_US / MICROSECONDS / WRITE_EVERY_SECONDS)
# Of how many addresses calls are counted between two writes.
_MOST_ADDRESSES = 100
# How many keys are looked at, and how many are written at most, before others get their turn.
_AT_ONCE = 500
# Between two batches nothing is written for so many times as long as one took: in the minute in which all
# keys are used that leaves the store, and this process, most of their time.
_REST = 4


class UseTracker:
    """Collects uses and writes them.

    An `Identified` holds the time of its last use itself, and of the last that was written. While `noting`
    stands there as `noted_by`, whoever sets the time needs to tell nobody. It never does for a key that was
    rotated.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self.noting = object()
        self._noted: list[Identified] = []
        # Those noted before the write under way, which are due by now or later, and those that are due.
        self._unsorted: list[Identified] = []
        self._due: list[Identified] = []
        # Those that were written lately, by the next write that may have them: they are not looked at before.
        self._later: deque[list[Identified]] = deque([] for _ in range(_WRITES))
        # What the store has not taken.
        self._kept: dict[str, int] = {}
        self._in_grace: dict[str, Identified] = {}
        self._calls: dict[str, Counter[str]] = {}

    def see(self, whose: Identified, at_us: int, address: str) -> None:
        """Note that a key was used, and from which address if it was rotated."""
        whose.used_us = at_us
        if whose.key.grace_until is not None:
            self._see_in_grace(whose, address)
        elif whose.noted_by is not self.noting:
            whose.noted_by = self.noting
            self._noted.append(whose)

    @property
    def pending(self) -> int:
        """How many uses are not written yet."""
        keys = (self._noted, self._unsorted, self._due, *self._later)
        return sum(map(len, keys)) + len(self._in_grace) + len(self._kept)

    def _see_in_grace(self, whose: Identified, address: str) -> None:
        self._in_grace[whose.key_id] = whose
        calls = self._calls.setdefault(whose.key_id, Counter())
        calls[address if address in calls or len(calls) < _MOST_ADDRESSES else OTHER_ADDRESSES] += 1

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write()

    async def write(self, *, everything: bool = False) -> None:
        """Write what is due, or all of it. What the store does not take now is kept for the next time."""
        self._turn(everything=everything)
        loop = asyncio.get_running_loop()
        while self._unsorted or self._due or self._kept:
            self._sort()
            uses, began = self._next(), loop.time()
            try:
                await self._note(uses)
            except StoreError as error:
                log = structlog.get_logger("extauth.keys")
                late = len(self._due) + len(self._kept)
                log.warning("uses_not_written", keys=late, problem=str(error))
                return
            await asyncio.sleep(0 if everything else _REST * (loop.time() - began))

    async def close(self) -> None:
        """Write the rest."""
        await self.write(everything=True)

    def _turn(self, *, everything: bool) -> None:
        """Say what this write is about: what comes from now on is for the next one."""
        self._due += self._later.popleft()
        self._later.append([])
        # Whoever watches a rotated key fade need not wait.
        in_grace, self._in_grace = self._in_grace, {}
        self._due += in_grace.values()
        noted, self._noted = self._noted, []
        if everything:
            self._due += noted + self._unsorted
            self._unsorted = []
            for some in self._later:
                self._due += some
                some.clear()
        else:
            self._unsorted += noted

    def _sort(self) -> None:
        """Tell of some keys whether they are due. There may be many, and checks wait meanwhile."""
        some, self._unsorted[-_AT_ONCE:] = self._unsorted[-_AT_ONCE:], []
        for one in some:
            left_us = GRAIN_US - (one.used_us - one.written_us)
            if left_us > 0:
                self._later[_writes_until(left_us)].append(one)
            else:
                self._due.append(one)

    def _next(self) -> list[KeyUse]:
        """Take out the next uses to be written."""
        uses = dict(self._kept.popitem() for _ in range(min(_AT_ONCE, len(self._kept))))
        due, self._due[-_AT_ONCE:] = self._due[-_AT_ONCE:], []
        for one in due:
            one.noted_by = None
            # Also where the store doesn't take it, for then it is kept.
            key_id, used_us = one.key.key_id, one.used_us
            one.written_us = used_us
            if used_us >= uses.get(key_id, 0):
                uses[key_id] = used_us
        # Most of them were at one of a few moments, each of which takes as long as all else of a use.
        moments = {used_us: from_us(used_us) for used_us in {*uses.values()}}
        calls = self._calls
        return [
            KeyUse(key_id, moments[used_us], calls.pop(key_id, NO_CALLS)) for key_id, used_us in uses.items()
        ]

    async def _note(self, uses: list[KeyUse]) -> None:
        if not uses:
            return
        try:
            await self._store.note_uses(uses)
        except BaseException:
            # Also where it is ended meanwhile. Whether the store has them nobody knows: rather calls that
            # count twice than a key in its grace that nobody seems to use.
            self._give_back(uses)
            raise

    def _give_back(self, uses: list[KeyUse]) -> None:
        for use in uses:
            self._kept[use.key_id] = max(to_us(use.last_used), self._kept.get(use.key_id, 0))
            if use.calls:
                self._calls.setdefault(use.key_id, Counter()).update(use.calls)


def _writes_until(left_us: int) -> int:
    """Return how many writes come before the first that is at least so much later."""
    return min((left_us - 1) // int(WRITE_EVERY_SECONDS * MICROSECONDS), _WRITES - 1)
