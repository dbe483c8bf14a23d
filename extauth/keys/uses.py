"""When keys were last used, and who still uses a rotated one: noted off the hot path, written in batches.

A key's last use is written once a minute at most; what is not written yet is written at the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from extauth.bounded import BoundedCache
from extauth.clock import MICROSECONDS, from_us, to_us
from extauth.errors import StoreError
from extauth.model import ApiKey
from extauth.stores.base import OTHER_ADDRESSES, KeyStore, KeyUse

WRITE_EVERY_SECONDS = 5.0
# How often one key's last use is written at most, in microseconds.
GRAIN_US = 60 * MICROSECONDS
# Of how many keys the last written use is remembered, and of how many addresses calls are counted between two
# writes.
_REMEMBERED = 100_000
_MOST_ADDRESSES = 100
_AT_ONCE = 500


class UseTracker:
    """Collects uses and writes them."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        # The latest use of each key since the last write.
        self.seen: dict[str, int] = {}
        self._calls: dict[str, Counter[str]] = {}
        self._written: BoundedCache[str, int] = BoundedCache(_REMEMBERED)

    def see_in_grace(self, key: ApiKey, address: str) -> None:
        """Count a call with a key that was rotated."""
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
        seen, self.seen = self.seen, {}
        calls, self._calls = self._calls, {}
        due = []
        for key_id, at_us in seen.items():
            recent = at_us - self._written.get(key_id, 0) < GRAIN_US
            if recent and not everything and key_id not in calls:
                self.seen.setdefault(key_id, at_us)
            else:
                due.append(KeyUse(key_id=key_id, last_used=from_us(at_us), calls=calls.get(key_id, {})))
        return due

    def _give_back(self, uses: list[KeyUse]) -> None:
        for use in uses:
            self.seen[use.key_id] = max(to_us(use.last_used), self.seen.get(use.key_id, 0))
            if use.calls:
                self._calls.setdefault(use.key_id, Counter()).update(use.calls)
