"""Adds what servers had counted and not yet written when they died: their journals are in the store."""

from __future__ import annotations

import asyncio

import structlog

from extauth.errors import StoreError
from extauth.stores.usage import UsageStore
from extauth.usage.writer import LONGEST_REST_SECONDS, REST

LOOK_EVERY_SECONDS = 10.0
# Who has written nothing for so many looks in a row is dead: with pages in its journal it would write often.
STILL_LOOKS = 3


class Takeover:
    """Looks at the journals of all processes again and again."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        # What each wrote last, and for how many looks.
        self._seen: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once, and add what is in the journals of the dead."""
        try:
            journals = await self._store.journals()
            before, self._seen = self._seen, {}
            for process, number in journals.items():
                known, looks = before.get(process, (number, 0))
                self._seen[process] = number, looks + 1 if known == number else 1
            for process, (number, looks) in self._seen.items():
                if looks > STILL_LOOKS:
                    await self._take_over(process, number)
        except StoreError:
            # Others may not have been able to write, either.
            self._seen = {}

    async def _take_over(self, process: str, number: int) -> None:
        loop = asyncio.get_running_loop()
        pages = await self._store.take_over(process, number)
        for page in pages:
            began = loop.time()
            await self._store.fold(process, page)
            await asyncio.sleep(min(REST * (loop.time() - began), LONGEST_REST_SECONDS))
        if pages:
            log = structlog.get_logger("extauth.usage")
            log.warning("usage_taken_over", process=process, pages=len(pages))
