"""Leases in the file of the limits: what is in flight from the end of a server to its next start."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from extauth.model import Per
from extauth.throttle.memory import Kept
from extauth.throttle.slots import Concurrency, Place

LEASE_SCHEMA = """
    CREATE TABLE leases (
        name TEXT PRIMARY KEY, request_id TEXT NOT NULL, since_us INTEGER NOT NULL, places TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """


def keep_leases(connection: sqlite3.Connection, kept: Sequence[Kept]) -> None:
    """Write them in the place of all others."""
    rows = [(lease.name, lease.request_id, lease.since_us, json.dumps(lease.places)) for lease in kept]
    connection.execute("DELETE FROM leases")
    connection.executemany("INSERT INTO leases VALUES (?, ?, ?, ?)", rows)


def kept_leases(connection: sqlite3.Connection) -> list[Kept]:
    """Return them."""
    rows = connection.execute("SELECT name, request_id, since_us, places FROM leases").fetchall()
    return [lease for row in rows if (lease := _read(*row)) is not None]


def _read(name: str, request_id: str, since_us: int, places: str) -> Kept | None:
    """Return a lease; None where another version of extauth wrote it, of which no more is known."""
    try:
        read = [(_place(*place), int(until_us)) for place, until_us in json.loads(places)]
    except (TypeError, ValueError):
        return None
    return Kept(name, request_id, since_us, read)


def _place(bucket: str, limit: list[Any], subject: str, field: str) -> Place:
    most, lease_us, queue, wait_us, name, per, is_grace = limit
    concurrency = Concurrency(most, lease_us, queue, wait_us, name, Per(per), is_grace=is_grace)
    return Place(bucket, concurrency, subject, field)
