"""Fills a key store with many records and measures what it answers then, beside a store of a few.

    python benchmarks/keys.py sqlite:////tmp/many/extauth.db
    python benchmarks/keys.py redis://127.0.0.1:6379/9 --records 300000

The records are put straight into the store, past the audit log: what is measured is the store's answers, not
how fast keys are made. A Redis must be an empty database, and is emptied again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from extauth.clock import to_us
from extauth.model import ApiKey
from extauth.settings.model import StoreSettings
from extauth.stores.base import KeyFilter, KeyStore
from extauth.stores.open import open_key_store
from extauth.stores.redis import layout, places
from extauth.stores.redis.fields import to_fields
from extauth.stores.redis.store import RedisKeyStore
from extauth.stores.sqlite_rows import COLUMNS, to_row

FEW = 1_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
# As long as the hashes that the default settings make.
_HASH = "$argon2id$v=19$m=19456,t=2,p=1$" + "c2FsdHNhbHRzYWx0c2FsdA" + "$" + "aGFzaGhhc2g" * 4
_BATCH = 500
_SAMPLES = 300


class Options(argparse.Namespace):
    """What was asked for on the command line."""

    url: str
    records: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds, of half and of all but one in a hundred of the questions."""

    name: str
    median: float
    worst: float


def record(number: int) -> ApiKey:
    """Make one of many records: 50 a user, one in ten expires, one in twenty is revoked."""
    moment = _START + timedelta(seconds=number)
    return ApiKey(
        key_id=f"{number:012}",
        hashed_key=_HASH,
        hint=f"xa_live_{number:012}_…wxyz",
        user_id=f"user-{number // 50}",
        name=f"key {number}",
        tier="pro" if number % 3 == 0 else "free",
        scopes=("orders:read", "orders:write"),
        environment="live",
        created_at=moment,
        active=number % 20 != 0,
        revoked_at=moment if number % 20 == 0 else None,
        expires_at=_START + timedelta(days=365, seconds=number) if number % 10 == 0 else None,
        metadata={"team": f"team {number % 7}"},
        pepper_id="0123456789abcdef",
    )


def batches(first: int, last: int) -> Iterator[list[ApiKey]]:
    """Give the records of these numbers in batches."""
    for start in range(first, last, _BATCH):
        yield [record(number) for number in range(start, min(start + _BATCH, last))]


async def load(store: KeyStore, settings: StoreSettings, first: int, last: int) -> None:
    """Put records straight in."""
    if isinstance(store, RedisKeyStore):
        for keys in batches(first, last):
            await put_in_redis(store, keys)
        return
    columns = f"sequence, {', '.join(COLUMNS)}"
    insert = f"INSERT INTO keys ({columns}) VALUES (:sequence, {', '.join(f':{name}' for name in COLUMNS)})"  # noqa: S608 - constant names
    with sqlite3.connect(settings.path) as connection:
        for keys in batches(first, last):
            connection.executemany(insert, [{**to_row(key), "sequence": int(key.key_id)} for key in keys])
        connection.execute("UPDATE counter SET last = ?", (last,))
    connection.close()


async def put_in_redis(store: RedisKeyStore, keys: Sequence[ApiKey]) -> None:
    """Put records straight into Redis, in one trip."""
    commands = [("HSET", layout.record(key.key_id), *to_fields(key)) for key in keys]
    indexes = [command for key in keys for command in places.commands(key.key_id, key, ())]
    await store._link.write(*commands, *indexes)  # noqa: SLF001 - past the changes, which would audit


async def timed(name: str, ask: Callable[[], Awaitable[object]], samples: int = _SAMPLES) -> Figures:
    """Ask again and again, and return how long it took."""
    took = []
    for _ in range(samples):
        started = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return Figures(name, statistics.median(took), took[int(len(took) * 0.99)])


async def measure(store: KeyStore, number: int) -> list[Figures]:
    """Ask a store of so many records what is asked in service."""
    chance = random.Random(7)

    def some() -> str:
        return f"{chance.randrange(number):012}"

    def middle() -> str:
        at = chance.randrange(number)
        return f"{to_us(_START + timedelta(seconds=at))}.{at:012}"

    soon = KeyFilter(expires_before=_START + timedelta(days=365, seconds=500))
    return [
        await timed("get", lambda: store.get(some())),
        await timed("versions of 50", lambda: store.versions([some() for _ in range(50)])),
        await timed("list, first page of 100", lambda: store.list(limit=100), 100),
        await timed("list, a page in the middle", lambda: store.list(cursor=middle(), limit=100), 100),
        await timed(
            "list of a user",
            lambda: store.list(KeyFilter(user_id=f"user-{chance.randrange(number) // 50}")),
            100,
        ),
        await timed("list of a tier", lambda: store.list(KeyFilter(tier="pro"), cursor=middle()), 100),
        await timed("list of what expires soon", lambda: store.list(soon, limit=100), 50),
        await timed(
            "list without an index", lambda: store.list(KeyFilter(active=False), cursor=middle()), 20
        ),
        await timed("count", store.count, 50),
        await timed("peppers", store.peppers, 20),
    ]


async def size_of(store: KeyStore, settings: StoreSettings) -> str:
    """Say how much room the records take."""
    if isinstance(store, RedisKeyStore):
        told = await store._link.ask(None, "INFO", "memory")  # noqa: SLF001 - nobody else asks for this
        return f"Redis uses {told['used_memory'] / 1e6:.0f} MB"
    size = await asyncio.to_thread(lambda: settings.path.stat().st_size)
    return f"the file has {size / 1e6:.0f} MB"


async def run(options: Options) -> int:
    """Load a few, measure, load many, measure again, and print both."""
    settings = StoreSettings(url=options.url, timeout=timedelta(seconds=10))
    store = await open_key_store(settings)
    try:
        if await store.count():
            print("benchmark: the store is not empty", file=sys.stderr)
            return 2
        await load(store, settings, 0, FEW)
        few = await measure(store, FEW)
        print(f"{FEW} records: {await size_of(store, settings)}")
        started = time.perf_counter()
        await load(store, settings, FEW, options.records)
        seconds = time.perf_counter() - started
        print(f"{options.records} records, loaded in {seconds:.0f} s: {await size_of(store, settings)}")
        many = await measure(store, options.records)
        print(f"\n{'milliseconds: half, 99 of 100':32} {FEW:>18} {options.records:>18}")
        for one, other in zip(few, many, strict=True):
            print(f"{one.name:32} {one.median:9.2f} {one.worst:8.2f} {other.median:9.2f} {other.worst:8.2f}")
        print(
            f"\nThis process took {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB at most."
        )
        return 0
    finally:
        if isinstance(store, RedisKeyStore):
            await store._link.write(("FLUSHDB", "ASYNC"))  # noqa: SLF001 - it was empty before
        await store.close()


def main() -> int:
    """Run, and return the exit code: 0 with figures, 2 where the store holds something already."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="an empty store: sqlite:///… or redis://…")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many to put in (1000000)")
    return asyncio.run(run(parser.parse_args(namespace=Options())))


if __name__ == "__main__":
    sys.exit(main())
