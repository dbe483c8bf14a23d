"""The archive of limit buckets in SQLite: what older versions wrote goes on counting."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from extauth.model import Limit
from extauth.stores.memory import MemoryLimitStore
from tests.limits import plan_of
from tests.stores import sqlite_archive

NOW = 1_772_366_400_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND
# What older versions wrote: spent and full in units of a request by the period.
OLD_SCHEMA = """
    CREATE TABLE buckets (
        bucket TEXT PRIMARY KEY, spent TEXT NOT NULL, at_us INTEGER NOT NULL, full TEXT NOT NULL,
        clear_at_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
"""
LIMITS = (
    Limit("per-second", 20, 10, SECOND),
    Limit("per-3s", 7, 3, 3 * SECOND),
    Limit("per-month", 1_000_000_000, 1_000_000_000, 30 * DAY),
)


def old_archive(folder: Path, *rows: tuple[str, str, int, str, int]) -> None:
    """Write a file as an older version left it."""
    with sqlite3.connect(folder / "extauth-limits.db") as connection:
        connection.executescript(OLD_SCHEMA)
        connection.executemany("INSERT INTO buckets VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()


def old_row(limit: Limit, requests: int) -> tuple[str, str, int, str, int]:
    """Return what an older version wrote after so many requests at one moment."""
    spent = requests * limit.period_us
    clear_at_us = NOW + -(-spent // limit.rate)
    bucket = plan_of(limit).takes[0].bucket
    return bucket, str(spent), NOW, str(limit.capacity * limit.period_us), clear_at_us


async def restored(folder: Path, now_us: int) -> MemoryLimitStore:
    """Return a store with what the archive kept."""
    store = MemoryLimitStore()
    async with sqlite_archive(folder) as archive:
        store.restore((row[0], (row[1], row[2], row[3], row[4])) for row in await archive.load(now_us))
    return store


@pytest.mark.parametrize("requests", [1, 5, 7])
@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_counts_of_an_older_version_go_on(tmp_path: Path, limit: Limit, requests: int) -> None:
    """An upgrade gives nothing back, and takes a microsecond of refill at most."""
    old_archive(tmp_path, old_row(limit, requests))
    store = asyncio.run(restored(tmp_path, NOW))
    (usage,) = store.look(plan_of(limit), NOW).usages(plan_of(limit))
    spent_us = -(-requests * limit.period_us // limit.rate)
    assert spent_us <= usage.reset_us <= spent_us + 1
    assert limit.capacity - requests - 1 <= usage.remaining <= limit.capacity - requests
    asyncio.run(restored(tmp_path, NOW))


def test_rows_of_an_older_version_that_say_nothing_are_dropped(tmp_path: Path) -> None:
    """Nothing spent, over by now, or further away than any limit of today: none of them stops the start."""
    old_archive(
        tmp_path,
        ("unused", "0", NOW, "20000000", NOW),
        ("over", "1000000", NOW - DAY, "20000000", NOW - DAY + 100_000),
        ("never over", "9" * 30, NOW, "9" * 30, 2**63 - 1),
    )
    assert len(asyncio.run(restored(tmp_path, NOW))) == 0
