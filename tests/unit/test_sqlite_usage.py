"""Usage in SQLite: files of earlier versions, and what the file lets go of."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import orjson

from extauth.stores.usage import (
    DAY,
    DAY_SECONDS,
    HOUR,
    JOURNAL_KEPT_SECONDS,
    MINUTE,
    Group,
    Kind,
    Page,
    Sheet,
)
from tests.stores import sqlite_usage
from tests.usage import NOON, PLACE, batch, counts, kept, selection


def take_the_sums_out(folder: Path) -> None:
    """Leave a file as an earlier version did."""
    with sqlite3.connect(folder / "extauth-usage.db") as connection:
        connection.execute("DELETE FROM counts WHERE place IN (SELECT id FROM places WHERE kind = 'sum')")
        connection.execute("DELETE FROM places WHERE kind = 'sum'")
        connection.execute("DROP TABLE journal")
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


def test_a_journal_that_nobody_took_over_goes_at_last(tmp_path: Path) -> None:
    """After as many days as are promised; until then it can be taken over."""

    async def scenario() -> None:
        async with sqlite_usage(tmp_path) as store:
            page = Page(f"{NOON}.1.0", Sheet([PLACE]), orjson.dumps([counts(1)]))
            await store.note("dead", 3, [page])
            last = NOON + JOURNAL_KEPT_SECONDS
            await store.add(batch(1, (PLACE, counts(1)), minute=last))
            assert await store.journals() == {"dead": 3}
            assert list(await store.take_over("dead", 3)) == [page.name]
            await store.add(batch(2, (PLACE, counts(1)), minute=last + 60))
            assert await store.journals() == {}
            await store.fold("dead", page.name)
            asked = selection(DAY, Kind.KEY, PLACE.key_id)
            asked = replace(asked, until=asked.until + JOURNAL_KEPT_SECONDS)
            assert list((await kept(store, asked)).values()) == [counts(2)]

    asyncio.run(scenario())
