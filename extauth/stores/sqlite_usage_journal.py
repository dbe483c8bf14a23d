"""Journals of usage in SQLite: what processes counted and did not yet write in batches."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from extauth.stores.usage import (
    DAY_SECONDS,
    JOURNAL_KEPT_SECONDS,
    Counts,
    Page,
    Place,
    counts_of_each,
    minute_of,
)


class Admission(enum.Enum):
    """What is done with something that a process writes."""

    NEW = "new"
    WRITTEN_BEFORE = "written before"
    TAKEN_OVER = "taken over"


def admit(connection: sqlite3.Connection, process: str, number: int, at: int) -> Admission:
    """Find out whether something with that number is to be written, and remember the number then.

    The number of a process that was taken over stands below zero.
    """
    query = "SELECT number FROM written WHERE process = ?"
    (last,) = connection.execute(query, (process,)).fetchone() or (0,)
    if number <= abs(last):
        return Admission.WRITTEN_BEFORE
    if last < 0:
        return Admission.TAKEN_OVER
    connection.execute("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", (process, number, at))
    return Admission.NEW


def note(connection: sqlite3.Connection, process: str, number: int, pages: Sequence[Page]) -> bool:
    """Keep pages; return False where the process was taken over."""
    found = admit(connection, process, number, max(minute_of(page.name) for page in pages))
    if found is Admission.NEW:
        rows = [
            (process, page.name, f"[{orjson.dumps([*map(list, page.places)]).decode()},{page.told.decode()}]")
            for page in pages
        ]
        connection.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", rows)
    return found is not Admission.TAKEN_OVER


def journals(connection: sqlite3.Connection) -> Mapping[str, int]:
    """Return who has pages, and the number of what each wrote last."""
    query = "SELECT DISTINCT process, abs(number) FROM journal JOIN written USING (process)"
    return dict(connection.execute(query).fetchall())


def take_over(connection: sqlite3.Connection, process: str, number: int) -> Sequence[str]:
    """Have no more from a process that wrote nothing since; return the names of its pages."""
    query = "UPDATE written SET number = -? WHERE process = ? AND abs(number) = ?"
    if not connection.execute(query, (number, process, number)).rowcount:
        return ()
    query = "SELECT page FROM journal WHERE process = ? ORDER BY page"
    return [page for (page,) in connection.execute(query, (process,))]


def dropped(connection: sqlite3.Connection, process: str, page: str) -> Sequence[tuple[Place, Counts]]:
    """Drop a page, and return what was in it; nothing where it is not there."""
    query = "DELETE FROM journal WHERE process = ? AND page = ? RETURNING told"
    row = connection.execute(query, (process, page)).fetchone()
    places, told = orjson.loads(row[0]) if row else ([], [])
    counts = counts_of_each(told, len(places))
    # Not all of its places need have been counted at.
    return [(Place(*place), numbers) for place, numbers in zip(places, counts, strict=True) if any(numbers)]


def forget(connection: sqlite3.Connection, now: int) -> None:
    """Let go of the numbers of processes that are no more, and of journals that nobody took over."""
    connection.execute(
        "DELETE FROM written WHERE at < ? AND process NOT IN (SELECT process FROM journal)",
        (now - DAY_SECONDS,),
    )
    pages = connection.execute("SELECT process, page FROM journal").fetchall()
    old = [(process, page) for process, page in pages if minute_of(page) < now - JOURNAL_KEPT_SECONDS]
    connection.executemany("DELETE FROM journal WHERE process = ? AND page = ?", old)
