"""Fills a store with the usage of many keys over months and measures what it answers then.

    python benchmarks/usage.py sqlite:////tmp/used/extauth.db
    python benchmarks/usage.py redis://127.0.0.1:6379/9 --keys 100000 --days 90 --hours 4

Each hour that is filled has as many keys as its day tells apart, so that the store is as full as it gets. A
Redis must be an empty database, and is emptied again.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from extauth.clock import SystemClock, from_us, to_us
from extauth.management import open_store, open_usage
from extauth.settings.model import StoreSettings
from extauth.stores.redis.usage import RedisUsageStore
from extauth.stores.usage import (
    DAY_SECONDS,
    HOUR,
    LATENCIES,
    LATENCY_SUM,
    WIDTH,
    Batch,
    Counts,
    Place,
    UsageStore,
)
from extauth.usage.question import By, UsageQuestion
from extauth.usage.service import UsageService

_ROUTES = tuple(f"route-{number}" for number in range(10))
_TIERS = ("free", "pro", "enterprise")
_SAMPLES = 20


class Options(argparse.Namespace):
    """What was asked for on the command line."""

    url: str
    keys: int
    days: int
    hours: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of the quickest, half, and the slowest of the questions; and how large the answer is."""

    name: str
    least: float
    median: float
    most: float
    kilobytes: float


def place(number: int) -> Place:
    """Return where one key is counted: five of a user, always on the same route."""
    route, tier = _ROUTES[number % len(_ROUTES)], _TIERS[number % len(_TIERS)]
    return Place(f"{number:012}", f"user-{number // 5}", tier, route)


def counts(number: int) -> Counts:
    """Return what one key did in an hour."""
    found = [0] * WIDTH
    found[0], found[1] = 1 + number % 97, number % 3
    found[LATENCY_SUM], found[LATENCIES], found[LATENCIES + 1] = 30 * found[0], found[0], found[1]
    return found


async def fill(store: UsageStore, options: Options) -> None:
    """Write hours of each day, the oldest first; the days of the last 24 hours in minutes as well."""
    today = int(datetime.now(UTC).timestamp()) // DAY_SECONDS * DAY_SECONDS
    number = 0
    for day in range(options.days - 1, -1, -1):
        # Which keys are in use changes from day to day.
        first = day * 1_009 % options.keys
        keys = [(first + one) % options.keys for one in range(HOUR.places)]
        for hour in range(0, 24, 24 // options.hours):
            minute = today - day * DAY_SECONDS + hour * 3_600
            for start in range(0, len(keys), store.at_once):
                number += 1
                part = [(place(key), counts(key)) for key in keys[start : start + store.at_once]]
                await store.add(Batch(process="benchmark", number=number, minute=minute, counts=part))


async def timed(service: UsageService, name: str, question: UsageQuestion) -> Figures:
    """Ask again and again, to the text of the answer, and return how long that took."""
    took, size = [], 0
    for _ in range(_SAMPLES):
        started = time.perf_counter()
        size = len(orjson.dumps((await service.report(question)).plain()))
        took.append((time.perf_counter() - started) * 1_000)
    return Figures(name, min(took), statistics.median(took), max(took), size / 1_000)


async def measure(service: UsageService, options: Options) -> list[Figures]:
    """Ask what dashboards and people ask."""
    now = from_us(to_us(datetime.now(UTC)))
    long, week = now - timedelta(days=options.days - 1), now - timedelta(days=7)
    key = place(0)
    days = f"{options.days} days"
    questions = {
        f"one key, {days} of hours": UsageQuestion(key_id=key.key_id, since=long, step="1h"),
        f"one key by route, {days} of hours": UsageQuestion(
            key_id=key.key_id, by=By.ROUTE, since=long, step="1h", limit=1
        ),
        f"one user, {days} of hours": UsageQuestion(user_id=key.user_id, since=long, step="1h"),
        f"all, {days} of hours": UsageQuestion(since=long, step="1h"),
        f"6 busiest routes, {days} of hours": UsageQuestion(by=By.ROUTE, since=long, step="1h", limit=6),
        f"tiers of a route, {days} of hours": UsageQuestion(
            by=By.TIER, route=_ROUTES[0], since=long, step="1h", limit=len(_TIERS)
        ),
        f"20 busiest keys, {days} of days": UsageQuestion(by=By.KEY, since=long, step="1d"),
        f"20 busiest users, {days} of days": UsageQuestion(by=By.USER, since=long, step="1d"),
        "20 busiest keys, 7 days of hours": UsageQuestion(by=By.KEY, since=week, step="1h"),
        "20 busiest keys, 24 hours": UsageQuestion(by=By.KEY),
        "20 busiest keys of a route, 24 hours": UsageQuestion(by=By.KEY, route=_ROUTES[1]),
        f"6 busiest keys, {days} of hours": UsageQuestion(by=By.KEY, since=long, step="1h", limit=6),
    }
    return [await timed(service, name, question) for name, question in questions.items()]


async def size_of(store: UsageStore, settings: StoreSettings) -> str:
    """Say how much room usage takes."""
    if isinstance(store, RedisUsageStore):
        told = await store._link.ask(None, "INFO", "memory")  # noqa: SLF001 - nobody else asks for this
        return f"Redis uses {told['used_memory'] / 1e6:.0f} MB"
    path = settings.path.with_name(f"{settings.path.stem}-usage{settings.path.suffix}")
    size = await asyncio.to_thread(lambda: path.stat().st_size)
    return f"the file has {size / 1e6:.0f} MB"


async def run(options: Options) -> int:
    """Fill the store, ask, and print how long answers took."""
    settings = StoreSettings(url=options.url, timeout=timedelta(seconds=10))
    async with AsyncExitStack() as stack:
        keys = await stack.enter_async_context(open_store(settings))
        store = await stack.enter_async_context(open_usage(settings))
        if await keys.count():
            print("benchmark: the store is not empty", file=sys.stderr)
            return 2
        started = time.perf_counter()
        await fill(store, options)
        print(f"filled in {time.perf_counter() - started:.0f} s: {await size_of(store, settings)}")
        figures = await measure(UsageService(store, keys, SystemClock()), options)
        if isinstance(store, RedisUsageStore):
            await store._link.write(("FLUSHDB", "ASYNC"))  # noqa: SLF001 - it was empty before
    print(f"\n{'milliseconds':40} {'least':>8} {'half':>8} {'most':>8} {'answer, kB':>12}")
    for one in figures:
        print(f"{one.name:40} {one.least:8.1f} {one.median:8.1f} {one.most:8.1f} {one.kilobytes:12.0f}")
    print(f"\nThis process took {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB at most.")
    return 0


def options_of(about: str) -> Options:
    """Read the command line of a benchmark that fills a store."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("url", help="an empty store: sqlite:///… or redis://…")
    parser.add_argument("--keys", type=int, default=100_000, help="how many keys there are (100000)")
    parser.add_argument("--days", type=int, default=90, help="for how many days (90)")
    parser.add_argument("--hours", type=int, default=4, help="in how many hours of each (4)")
    return parser.parse_args(namespace=Options())


def main() -> int:
    """Run, and return the exit code: 0 with figures, 2 where the store holds something already."""
    return asyncio.run(run(options_of(__doc__ or "")))


if __name__ == "__main__":
    sys.exit(main())
