"""Counts of what limits in shadow would have refused, as rows of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date

from extauth.stores.shadowed import Place, ShadowedCount, oldest_kept, place_among

_KNOWN = "SELECT 1 FROM shadowed WHERE day = ? AND limit_name = ? AND key_id = ? AND route = ?"
_ADD = (
    "INSERT INTO shadowed VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (day, limit_name, key_id, route) DO UPDATE SET requests = requests + excluded.requests"
)


def add_shadowed(connection: sqlite3.Connection, counts: Sequence[ShadowedCount]) -> None:
    """Add counts up, and forget days that are over. See `ShadowedStore`."""
    numbers: dict[str, int] = {}
    for count in counts:
        day = count.day.isoformat()
        if day not in numbers:
            query = "SELECT count(*) FROM shadowed WHERE day = ?"
            (numbers[day],) = connection.execute(query, (day,)).fetchone()

        def is_known(place: Place, day: str = day) -> bool:
            return connection.execute(_KNOWN, (day, *place)).fetchone() is not None

        place = place_among(count.place, is_known, numbers[day])
        numbers[day] += not is_known(place)
        connection.execute(_ADD, (day, *place, count.requests))
    if counts:
        oldest = oldest_kept(max(count.day for count in counts))
        connection.execute("DELETE FROM shadowed WHERE day < ?", (oldest.isoformat(),))


def read_shadowed(connection: sqlite3.Connection, since: date, until: date) -> list[ShadowedCount]:
    """Return the counts of these days. See `ShadowedStore`."""
    query = "SELECT * FROM shadowed WHERE day BETWEEN ? AND ?"
    rows = connection.execute(query, (since.isoformat(), until.isoformat()))
    return [
        ShadowedCount(day=date.fromisoformat(day), place=Place(*place), requests=requests)
        for day, *place, requests in rows
    ]
