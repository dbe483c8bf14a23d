"""A past for the store: what some keys did in the last hour by the minute, and in the last week."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from extauth.management import open_usage
from extauth.settings.model import StoreSettings
from extauth.stores.usage import (
    LATENCIES,
    LATENCY_SUM,
    RATE_LIMITED,
    REFUSED,
    THROTTLED,
    WIDTH,
    Batch,
    Counts,
    Place,
)

_MINUTE, _HOUR = 60, 3_600
_WEEK_HOURS = 168
# How busy each third hour of a day is: asleep at night, busiest after lunch.
_OF_DAY = (2, 1, 3, 10, 16, 18, 12, 5)
# The same from minute to minute, so that neighbours differ.
_OF_HOUR = (9, 11, 10, 14, 12, 16, 13, 12, 9, 13, 17, 15)


def write_history(store_url: str, busy: Mapping[Place, int]) -> None:
    """Write how each place did what its number says, times how busy the time was; some of it refused."""
    # In a thread of its own: where Playwright runs, no event loop can be run beside it.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _write(store_url, busy)).result()


async def _write(store_url: str, busy: Mapping[Place, int]) -> None:
    async with open_usage(StoreSettings(url=store_url)) as store:
        for number, (minute, factor) in enumerate(_times(), start=1):
            counts = _counts(busy, factor, number)
            await store.add(Batch(process="history", number=number, minute=minute, counts=counts))


def _times() -> Iterator[tuple[int, int]]:
    """Give minutes, the oldest first, and how busy each was."""
    now = int(time.time()) // _MINUTE * _MINUTE
    for hours in range(_WEEK_HOURS, 1, -1):
        at = now - hours * _HOUR
        yield at, 40 * _OF_DAY[at // _HOUR % 24 // 3]
    for minutes in range(_HOUR // _MINUTE, 1, -1):
        yield now - minutes * _MINUTE, _OF_HOUR[minutes % len(_OF_HOUR)]


def _counts(busy: Mapping[Place, int], factor: int, number: int) -> Sequence[tuple[Place, Counts]]:
    return [(place, _of_one(times * factor, number)) for place, times in busy.items()]


def _of_one(requests: int, number: int) -> Counts:
    counts = [0] * WIDTH
    counts[0] = requests
    # Bursts, now and then.
    counts[RATE_LIMITED] = requests // 3 if number % 12 < 3 else 0
    counts[THROTTLED] = requests // 8 if number % 17 == 0 else 0
    counts[REFUSED] = requests // 25
    counts[LATENCY_SUM], counts[LATENCIES] = 30 * requests, requests * 3 // 4
    counts[LATENCIES + 1] = requests - counts[LATENCIES]
    return counts
