"""Usage of many keys, and a store that is slow to take it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from extauth.model import Code, Decision
from extauth.stores.usage import DAY, Batch, Page
from extauth.usage.tracker import UsageTracker
from tests.fake_usage import MemoryUsageStore
from tests.keys import identified
from tests.usage import NOW_US, kept, noted, selection


class SlowStore(MemoryUsageStore):
    """A store that takes its time for a batch or a page, `busy_seconds` in all, and less for a note."""

    def __init__(self, seconds: float = 0.002) -> None:
        super().__init__()
        self.seconds = seconds
        self.busy_seconds = 0.0

    async def add(self, batch: Batch) -> bool:
        """Add counts. See `UsageStore`."""
        await self._be_busy()
        return await super().add(batch)

    async def fold(self, process: str, page: str, number: int = 0) -> None:
        """Add a page: a process its own, slowly; whoever took it over at once. See `UsageStore`."""
        if number:
            await self._be_busy()
        await super().fold(process, page, number)

    async def note(self, process: str, number: int, pages: Sequence[Page]) -> bool:
        """Keep pages. See `UsageStore`."""
        await asyncio.sleep(0.000_4)
        return await super().note(process, number, pages)

    async def _be_busy(self) -> None:
        await asyncio.sleep(self.seconds)
        self.busy_seconds += self.seconds


class Traffic:
    """Requests of many keys in random order, and how many there were until when.

    They come every `each_seconds`, up to 40 at once.
    """

    def __init__(
        self, *trackers: UsageTracker, keys: int, chance: random.Random, each_seconds: float = 0.01
    ) -> None:
        everybody = [identified(key_id=f"k{number:011}", user_id=f"u{number % 7}") for number in range(keys)]
        self._decisions = [Decision(Code.ALLOWED, whose, "", "orders") for whose in everybody]
        self._trackers = trackers
        self._chance = chance
        self._each_seconds = each_seconds
        self._until = [(asyncio.get_running_loop().time(), 0)]

    async def come(self, seconds: float) -> None:
        """Let them come for so long."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while now() < until:
            await asyncio.sleep(self._each_seconds)
            some = self._chance.choices(self._decisions, k=self._chance.randint(0, 40))
            at_us = NOW_US + round(now() * 1_000_000)
            for decision in some:
                self._chance.choice(self._trackers).see([noted(decision, at_us=at_us)])
            self._until.append((now(), self.total + len(some)))

    @property
    def total(self) -> int:
        """How many came."""
        return self._until[-1][1]

    def before(self, seconds: float) -> int:
        """Return how many had come so long ago."""
        moment = asyncio.get_running_loop().time() - seconds
        return max((count for at, count in self._until if at <= moment), default=0)


async def stored(store: MemoryUsageStore) -> int:
    """Return how many requests are in the store, those in journals among them."""
    found = await kept(store, selection(DAY))
    in_journals = [
        numbers for pages in store.pages.values() for page in pages.values() for _, numbers in page
    ]
    return sum(numbers[0] for numbers in (*found.values(), *in_journals))
