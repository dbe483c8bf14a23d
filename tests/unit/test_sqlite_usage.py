"""Usage in SQLite: what was counted before there were sums has them once the file is opened again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from extauth.stores.usage import DAY, DAY_SECONDS, HOUR, MINUTE, Group
from tests.stores import sqlite_usage
from tests.usage import NOON, PLACE, batch, counts, kept, selection


def take_the_sums_out(folder: Path) -> None:
    """Leave a file as an earlier version did."""
    with sqlite3.connect(folder / "extauth-usage.db") as connection:
        connection.execute("DELETE FROM counts WHERE place IN (SELECT id FROM places WHERE kind = 'sum')")
        connection.execute("DELETE FROM places WHERE kind = 'sum'")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_a_file_of_an_earlier_version_gets_its_sums(tmp_path: Path) -> None:
    """Of each step and period, and what comes is added to them."""

    async def scenario() -> None:
        async with sqlite_usage(tmp_path) as store:
            await store.add(batch(1, (PLACE, counts(3)), (PLACE._replace(tier="pro"), counts(1, 2))))
            await store.add(batch(2, (PLACE, counts(5)), minute=NOON - 12 * 3600))
        take_the_sums_out(tmp_path)
        async with sqlite_usage(tmp_path) as store:
            assert await kept(store, selection(HOUR)) == {
                ("", 0): counts(4, 2),
                ("", -12 * 3600): counts(5),
            }
            await store.add(batch(3, (PLACE._replace(route="users"), counts(10))))
            assert await kept(store, selection(MINUTE)) == {
                ("", 0): counts(14, 2),
                ("", -12 * 3600): counts(5),
            }
            assert await kept(store, selection(DAY)) == {("", -DAY_SECONDS // 2): counts(19, 2)}
            assert len(await kept(store, selection(DAY, group=Group.TIER))) == 2

    asyncio.run(scenario())
