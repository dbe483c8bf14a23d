"""Whom limits in shadow would have refused: noted off the hot path, added up in the store every second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta

import structlog

from extauth.clock import MICROSECONDS
from extauth.errors import StoreError
from extauth.stores.base import KeyStore
from extauth.stores.shadowed import ANONYMOUS, Place, ShadowedCount, place_among

WRITE_EVERY_SECONDS = 1.0
_AT_ONCE = 500
_DAY_US = 86_400 * MICROSECONDS
_FIRST_DAY = date(1970, 1, 1)


class ShadowTracker:
    """Collects counts and writes them."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        # By day, in days since 1970. Bounded as in the store, which may be gone for long.
        self._counts: dict[int, dict[Place, int]] = {}

    def see(self, shadowed: tuple[str, ...], key_id: str, route: str, at_us: int) -> None:
        """Count a request that these limits would have refused; `key_id` is empty without a key."""
        for limit in shadowed:
            self._add(at_us // _DAY_US, Place(limit, key_id or ANONYMOUS, route), 1)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write all there is. What the store does not take now is kept for the next time."""
        counts, self._counts = self._counts, {}
        due = [
            ShadowedCount(day=_FIRST_DAY + timedelta(days=day), place=place, requests=requests)
            for day, places in counts.items()
            for place, requests in places.items()
        ]
        while due:
            batch, rest = due[:_AT_ONCE], due[_AT_ONCE:]
            try:
                await self._store.note_shadowed(batch)
            except StoreError as error:
                for count in due:
                    self._add((count.day - _FIRST_DAY).days, count.place, count.requests)
                log = structlog.get_logger("extauth.limits")
                log.warning("shadowed_not_written", counts=len(due), problem=str(error))
                return
            due = rest

    async def close(self) -> None:
        """Write the rest."""
        await self.write()

    @property
    def unwritten(self) -> Mapping[int, Mapping[Place, int]]:
        """What is not written yet, by day."""
        return self._counts

    def _add(self, day: int, place: Place, requests: int) -> None:
        places = self._counts.setdefault(day, {})
        if place not in places:
            place = place_among(place, places.__contains__, len(places))
        places[place] = places.get(place, 0) + requests
