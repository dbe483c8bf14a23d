"""When keys were last used, and who still uses a rotated one: noted off the hot path, written in batches.

A key's last use is written once a minute at most; what is not written yet is written at the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque

import structlog

from extauth.bounded import BoundedCache
from extauth.clock import MICROSECONDS, from_us, to_us
from extauth.errors import StoreError
from extauth.model import ApiKey
from extauth.stores.base import OTHER_ADDRESSES, KeyStore, KeyUse

WRITE_EVERY_SECONDS = 5.0
# How often one key's last use is written at most, in microseconds, and how many writes that are.
GRAIN_US = 60 * MICROSECONDS
_WRITES = int(GRAIN_US / MICROSECONDS / WRITE_EVERY_SECONDS)
# Of how many keys the last written use is remembered, and of how many addresses calls are counted between two
# writes.
_REMEMBERED = 100_000
_MOST_ADDRESSES = 100
_AT_ONCE = 500


class UseTracker:
    """Collects uses and writes them.

    Keys hold the time of their last use themselves, in their `notes`. While `noting` stands there as
    `noted_by`, whoever sets that time needs to tell nobody. It never does for a key that was rotated.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self.noting = object()
        self._noted: list[ApiKey] = []
        # Those that were written lately, by the next write that may have them: they are not looked at before.
        self._later: deque[list[ApiKey]] = deque([] for _ in range(_WRITES))
        # What the store has not taken.
        self._kept: dict[str, int] = {}
        self._in_grace: dict[str, ApiKey] = {}
        self._calls: dict[str, Counter[str]] = {}
        self._written: BoundedCache[str, int] = BoundedCache(_REMEMBERED)

    def see(self, key: ApiKey, at_us: int, address: str) -> None:
        """Note that a key was used, and from which address if it was rotated."""
        key.notes.used_us = at_us
        if key.grace_until is not None:
            self._see_in_grace(key, address)
        elif key.notes.noted_by is not self.noting:
            key.notes.noted_by = self.noting
            self._noted.append(key)

    @property
    def pending(self) -> int:
        """How many uses are not written yet."""
        return len(self._noted) + sum(map(len, self._later)) + len(self._in_grace) + len(self._kept)

    def _see_in_grace(self, key: ApiKey, address: str) -> None:
        self._in_grace[key.key_id] = key
        calls = self._calls.setdefault(key.key_id, Counter())
        calls[address if address in calls or len(calls) < _MOST_ADDRESSES else OTHER_ADDRESSES] += 1

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write()

    async def write(self, *, everything: bool = False) -> None:
        """Write what is due, or all of it. What the store does not take now is kept for the next time."""
        due = self._take(everything=everything)
        while due:
            batch, due = due[:_AT_ONCE], due[_AT_ONCE:]
            try:
                await self._store.note_uses(batch)
            except StoreError as error:
                self._give_back([*batch, *due])
                log = structlog.get_logger("extauth.keys")
                log.warning("uses_not_written", keys=len(batch) + len(due), problem=str(error))
                return
            for use in batch:
                self._written.keep(use.key_id, to_us(use.last_used))

    async def close(self) -> None:
        """Write the rest."""
        await self.write(everything=True)

    def _take(self, *, everything: bool) -> list[KeyUse]:
        calls, self._calls = self._calls, {}
        due, self._kept = self._kept, {}
        for key in self._keys_due(everything=everything):
            due[key.key_id] = max(key.notes.used_us, due.get(key.key_id, 0))
        return [
            KeyUse(key_id=key_id, last_used=from_us(at_us), calls=calls.get(key_id, {}))
            for key_id, at_us in due.items()
        ]

    def _keys_due(self, *, everything: bool) -> list[ApiKey]:
        noted, self._noted = self._noted, []
        due = self._later.popleft()
        self._later.append([])
        for key in noted:
            left_us = GRAIN_US - (key.notes.used_us - self._written.get(key.key_id, 0))
            if left_us > 0:
                self._later[_writes_until(left_us)].append(key)
            else:
                due.append(key)
        if everything:
            for keys in self._later:
                due += keys
                keys.clear()
        for key in due:
            key.notes.noted_by = None
        # Whoever watches a rotated key fade need not wait.
        in_grace, self._in_grace = self._in_grace, {}
        return [*due, *in_grace.values()]

    def _give_back(self, uses: list[KeyUse]) -> None:
        for use in uses:
            self._kept[use.key_id] = to_us(use.last_used)
            if use.calls:
                self._calls.setdefault(use.key_id, Counter()).update(use.calls)


def _writes_until(left_us: int) -> int:
    """Return how many writes come before the first that is at least so much later."""
    return min((left_us - 1) // int(WRITE_EVERY_SECONDS * MICROSECONDS), _WRITES - 1)
