"""Usage in a SQLite file beside the keys.

A file of its own, as that of the limits: neither may a batch of counts hold up a check that looks for a key,
nor a report over months. A place is written once for each period, and its counts refer to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from extauth.stores import sqlite_usage_journal as journal
from extauth.stores.sqlite_thread import Result, SqliteThread
from extauth.stores.usage import (
    LARGEST_PAGE,
    MOST_REFUSALS,
    OTHER,
    RANKED,
    REFUSALS_KEPT_SECONDS,
    STEPS,
    WIDTH,
    Batch,
    Cell,
    Counts,
    Group,
    Kind,
    Page,
    Period,
    Place,
    Ranked,
    Reading,
    Selection,
    Step,
    by_name,
    minute_of,
    requests_of,
    whole,
)

_NUMBERS = tuple(f"n{position}" for position in range(WIDTH))
_SCHEMA = (
    f"""
    CREATE TABLE places (
        id INTEGER PRIMARY KEY, step TEXT NOT NULL, kind TEXT NOT NULL, period INTEGER NOT NULL,
        name TEXT NOT NULL, tier TEXT NOT NULL, route TEXT NOT NULL, requests INTEGER NOT NULL,
        UNIQUE (step, kind, name, period, tier, route)
    ) STRICT;
    CREATE INDEX places_by_requests ON places (step, kind, period, requests);
    CREATE TABLE counts (
        place INTEGER NOT NULL, at INTEGER NOT NULL,
        {", ".join(f"{number} INTEGER NOT NULL" for number in _NUMBERS)}, PRIMARY KEY (place, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE refusals (
        id INTEGER PRIMARY KEY, key_id TEXT NOT NULL, at INTEGER NOT NULL, told TEXT NOT NULL
    ) STRICT;
    CREATE INDEX refusals_by_key ON refusals (key_id, id);
    CREATE INDEX refusals_by_age ON refusals (at);
    CREATE TABLE written (process TEXT PRIMARY KEY, number INTEGER NOT NULL, at INTEGER NOT NULL)
        STRICT, WITHOUT ROWID
    """,
    # The sum of all tiers and routes: what was counted before has it from then on, too.
    f"""
    INSERT INTO places (step, kind, period, name, tier, route, requests)
        SELECT step, 'sum', period, '', '', '', sum(requests) FROM places
        WHERE kind = 'all' GROUP BY step, period;
    INSERT INTO counts
        SELECT sums.id, at, {", ".join(f"sum({number})" for number in _NUMBERS)}
        FROM places AS sums
        JOIN places AS parts ON parts.step = sums.step AND parts.period = sums.period AND parts.kind = 'all'
        JOIN counts ON place = parts.id
        WHERE sums.kind = 'sum' GROUP BY sums.id, at
    """,  # noqa: S608 - constant names, no input
    """
    CREATE TABLE journal (
        process TEXT NOT NULL, page TEXT NOT NULL, told TEXT NOT NULL, PRIMARY KEY (process, page)
    ) STRICT
    """,
)
_SEE = (
    "UPDATE places SET requests = requests + ? "
    "WHERE step = ? AND period = ? AND kind = ? AND name = ? AND tier = ? AND route = ? RETURNING id"
)
_TELL_APART = (
    "INSERT INTO places (requests, step, period, kind, name, tier, route) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_ADD = (
    f"INSERT INTO counts VALUES (?, ?, {', '.join('?' * WIDTH)}) ON CONFLICT (place, at) DO UPDATE SET "  # noqa: S608 - constant names, no input
    + ", ".join(f"{number} = {number} + excluded.{number}" for number in _NUMBERS)
)
_TOP = (
    "SELECT name, tier, route, requests FROM places WHERE step = ? AND kind = ? AND period = ? "
    "AND (? IS NULL OR tier = ?) AND (? IS NULL OR route = ?) ORDER BY requests DESC LIMIT ?"
)
_GROUPS = {Group.NOTHING: "''", Group.NAME: "name", Group.TIER: "tier", Group.ROUTE: "route"}
_Where = tuple[Kind, str, str, str]
# How many places of periods that are over go with each batch: more than come.
_FORGOTTEN_AT_ONCE = 2_000


class SqliteUsageStore:
    """Usage in SQLite. See `UsageStore`.

    WAL and synchronous FULL: what was written survives a power cut.
    """

    at_once = LARGEST_PAGE

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path, kind="usage", synchronous="FULL", schema=_SCHEMA)

    async def open(self) -> None:
        """Open or create the file. Raises StoreError."""
        await self._thread.open()

    async def add(self, batch: Batch) -> bool:
        """Add counts. See `UsageStore`."""
        return await self._write(lambda connection: _add(connection, batch))

    async def note(self, process: str, number: int, pages: Sequence[Page]) -> bool:
        """Keep pages. See `UsageStore`."""
        return await self._write(lambda connection: journal.note(connection, process, number, pages))

    async def journals(self) -> Mapping[str, int]:
        """Return who has pages. See `UsageStore`."""
        return await self._thread.transaction(journal.journals)

    async def take_over(self, process: str, number: int) -> Sequence[str]:
        """Have no more from a process. See `UsageStore`."""
        return await self._write(lambda connection: journal.take_over(connection, process, number))

    async def fold(self, process: str, page: str, number: int = 0) -> None:
        """Add a page. See `UsageStore`."""
        minute = minute_of(page)

        def fold(connection: sqlite3.Connection) -> None:
            new = journal.Admission.NEW
            if number and journal.admit(connection, process, number, minute) is not new:
                return
            if told := journal.dropped(connection, process, page):
                _add_counts(connection, minute, told)

        await self._write(fold)

    async def top(self, selection: Selection) -> Sequence[Ranked]:
        """Return the busiest places. See `UsageStore`."""

        def read(connection: sqlite3.Connection) -> list[Ranked]:
            asked, tier, route = (selection.step.name, selection.kind), selection.tier, selection.route
            return [
                Ranked(*row)
                for period in selection.periods()
                for row in connection.execute(_TOP, (*asked, period, tier, tier, route, route, RANKED))
            ]

        return await self._thread.transaction(read)

    async def read(self, selection: Selection) -> Sequence[Reading]:
        """Return what was counted. See `UsageStore`."""
        return await self._thread.transaction(lambda connection: _read(connection, selection))

    async def refusals(self, key_id: str) -> Sequence[str]:
        """Return the latest refusals. See `UsageStore`."""
        query = "SELECT told FROM refusals WHERE key_id = ? ORDER BY id DESC LIMIT ?"
        rows = await self._thread.transaction(
            lambda connection: connection.execute(query, (key_id, MOST_REFUSALS)).fetchall()
        )
        return [told for (told,) in rows]

    async def names(self, period: Period) -> Sequence[str]:
        """Return whose usage a period has. See `UsageStore`."""
        query = "SELECT DISTINCT name FROM places WHERE step = ? AND kind = ? AND period = ?"
        values = (period.step.name, period.kind, period.number)
        rows = await self._thread.transaction(lambda connection: connection.execute(query, values).fetchall())
        return [name for (name,) in rows]

    async def cells(self, period: Period, names: Sequence[str]) -> Sequence[Cell]:
        """Return all that a period has of these names. See `UsageStore`."""
        query = (
            f"SELECT name, tier, route, at, {', '.join(_NUMBERS)} FROM places JOIN counts ON place = id "  # noqa: S608 - constant names, no input
            f"WHERE step = ? AND kind = ? AND name IN ({', '.join('?' * len(names))}) AND period = ?"
        )
        values = (period.step.name, period.kind, *names, period.number)
        rows = await self._thread.transaction(lambda connection: connection.execute(query, values).fetchall())
        return [Cell(name, tier, route, at, numbers) for name, tier, route, at, *numbers in rows]

    async def take_in(self, period: Period, cells: Sequence[Cell], now: int) -> int:
        """Add counts of another store. See `UsageStore`."""
        if now >= period.kept_until:
            return 0
        return await self._write(lambda connection: _take_in(connection, period, cells))

    async def close(self) -> None:
        """Close the file."""
        await self._thread.close()

    async def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return await self._thread.transaction(work, writes=True)


def _add(connection: sqlite3.Connection, batch: Batch) -> bool:
    found = journal.admit(connection, batch.process, batch.number, batch.minute)
    if found is journal.Admission.NEW:
        journal.dropped(connection, batch.process, batch.page)
        _add_counts(connection, batch.minute, batch.counts)
        for key_id, told in batch.refusals.items():
            _add_refusals(connection, key_id, batch.minute, told)
        _forget(connection, batch.minute)
    return found is not journal.Admission.TAKEN_OVER


def _add_counts(connection: sqlite3.Connection, minute: int, counts: Sequence[tuple[Place, Counts]]) -> None:
    found = by_name(counts)
    for step in STEPS:
        _add_to_step(connection, step, minute, found)


def _add_to_step(
    connection: sqlite3.Connection,
    step: Step,
    minute: int,
    counted: dict[_Where, list[int]],
) -> None:
    places, at = _Places(connection, step, step.period(minute)), minute // step.seconds * step.seconds
    for where, counts in counted.items():
        if not places.add(where, at, counts):
            kind, _, tier, route = where
            places.add((kind, OTHER, tier, route), at, counts)


def _take_in(connection: sqlite3.Connection, period: Period, cells: Sequence[Cell]) -> int:
    step, number, kind = period
    places, taken = _Places(connection, step, number), 0
    for name, tier, route, at, counts in cells:
        taken += places.add((kind, name, tier, route), at, counts)
        if kind is Kind.ALL:
            places.add((Kind.SUM, "", "", ""), at, counts)
    return taken


class _Places:
    """The places of one period, which tells only so many keys and users apart."""

    def __init__(self, connection: sqlite3.Connection, step: Step, number: int) -> None:
        self._connection = connection
        self._period = (step.name, number)
        query = "SELECT count(*) FROM places WHERE step = ? AND period = ? AND kind = ?"
        self._room = {
            kind: step.places - connection.execute(query, (*self._period, kind)).fetchone()[0]
            for kind in (Kind.KEY, Kind.USER)
        }

    def add(self, where: _Where, at: int, counts: Counts) -> bool:
        """Add counts; return False, and add nothing, where there is no room for one more place."""
        values = (requests_of(counts), *self._period, *where)
        row = self._connection.execute(_SEE, values).fetchone()
        if row is None:
            kind, name, _, _ = where
            if name != OTHER and kind in self._room:
                if self._room[kind] <= 0:
                    return False
                self._room[kind] -= 1
            row = self._connection.execute(_TELL_APART, values).fetchone()
        self._connection.execute(_ADD, (row[0], at, *whole(counts)))
        return True


def _add_refusals(connection: sqlite3.Connection, key_id: str, at: int, told: Sequence[str]) -> None:
    rows = [(key_id, at, one) for one in told]
    connection.executemany("INSERT INTO refusals (key_id, at, told) VALUES (?, ?, ?)", rows)
    query = (
        "DELETE FROM refusals WHERE key_id = ? AND id <= "
        "(SELECT id FROM refusals WHERE key_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
    )
    connection.execute(query, (key_id, key_id, MOST_REFUSALS))


def _forget(connection: sqlite3.Connection, now: int) -> None:
    """Let go of periods that are over, a part at a time."""
    for step in STEPS:
        for kind in Kind:
            query = "SELECT id FROM places WHERE step = ? AND kind = ? AND period < ? LIMIT ?"
            oldest = step.period(step.oldest(now))
            rows = connection.execute(query, (step.name, kind, oldest, _FORGOTTEN_AT_ONCE)).fetchall()
            connection.executemany("DELETE FROM counts WHERE place = ?", rows)
            connection.executemany("DELETE FROM places WHERE id = ?", rows)
    connection.execute("DELETE FROM refusals WHERE at < ?", (now - REFUSALS_KEPT_SECONDS,))
    journal.forget(connection, now)


def _read(connection: sqlite3.Connection, selection: Selection) -> list[Reading]:
    group, sums = _GROUPS[selection.group], ", ".join(f"sum({number})" for number in _NUMBERS)
    query = (
        f"SELECT {group} AS told, at, {sums} FROM places JOIN counts ON place = id "  # noqa: S608 - constant names, no input
        f"WHERE step = ? AND kind = ? AND name IN ({', '.join('?' * len(selection.names))}) "
        "AND period BETWEEN ? AND ? AND (? IS NULL OR tier = ?) AND (? IS NULL OR route = ?) "
        "AND at >= ? AND at < ? GROUP BY told, at"
    )
    periods, tier, route = selection.periods(), selection.tier, selection.route
    values = (selection.step.name, selection.kept_as, *selection.names, periods.start, periods.stop - 1)
    rows = connection.execute(query, (*values, tier, tier, route, route, selection.since, selection.until))
    return [Reading(told, at, numbers) for told, at, *numbers in rows]
