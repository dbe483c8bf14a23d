"""`extauth migrate` brings usage along: what is told of the old store is told of the new one."""

from __future__ import annotations

import asyncio
from typing import Any

from extauth.clock import MICROSECONDS, SystemClock
from extauth.stores.usage import Place
from tests.shell import Shell
from tests.stores import sqlite_usage
from tests.usage import batch, counts

TARGET = "sqlite:///new/extauth.db"


def count(shell: Shell, number: int, requests: int) -> None:
    """Count requests of a key in the configured store, as its servers do."""

    async def add() -> None:
        async with sqlite_usage(shell.folder / "data") as store:
            minute = SystemClock().now_us() // MICROSECONDS // 60 * 60
            place = Place("AAAAbbbb0001", "ada", "free", "orders")
            await store.add(batch(number, (place, counts(requests)), minute=minute))

    asyncio.run(add())


def told(shell: Shell, url: str) -> Any:
    """Return what a store tells of the last day by key: the total of each."""
    shell.configure(store={"url": url})
    series = shell.run("usage", "--by", "key", "--json").json["series"]
    shell.configure()
    return {one["group"]: one["total"]["allowed"] for one in series}


def test_usage_comes_along(shell: Shell) -> None:
    """Once, however often it is run; a dry run makes no file."""
    shell.create()
    count(shell, 1, 5)
    planned = shell.run("migrate", "--to", TARGET, "--dry-run")
    # Of the key, its user and all, by minute, hour and day.
    assert "Counts of usage to be added: 9.\n" in planned.out
    assert not (shell.folder / "new").exists()
    assert "Counts of usage added: 9.\n" in shell.run("migrate", "--to", TARGET, "--yes").out
    assert shell.run("migrate", "--to", TARGET, "--json").json["usage_counts"] == 0
    count(shell, 2, 7)
    assert shell.run("migrate", "--to", TARGET, "--json").json["usage_counts"] == 9
    assert told(shell, TARGET) == told(shell, "sqlite:///data/extauth.db") == {"AAAAbbbb0001": 12}


def test_a_store_that_counted_nothing_is_moved_all_the_same(shell: Shell) -> None:
    """It has no file of usage, as with usage.enabled off, and gets none by being looked at."""
    shell.create()
    assert shell.run("migrate", "--to", TARGET, "--yes", "--json").json["usage_counts"] == 0
    assert not (shell.folder / "data" / "extauth-usage.db").exists()
