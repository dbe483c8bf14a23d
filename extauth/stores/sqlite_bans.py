"""Bans, and who fails most, as rows of SQLite."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

import orjson

from extauth.errors import StoreError
from extauth.stores.bans import OFFENDERS_KEPT_US, Ban, BanList, Offender, Origin

BAN_SCHEMA = """
    CREATE TABLE bans (
        subject TEXT PRIMARY KEY, origin TEXT NOT NULL, began_at INTEGER NOT NULL, ends_at INTEGER NOT NULL,
        reason TEXT NOT NULL, actor TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bans_revision (revision TEXT NOT NULL) STRICT;
    INSERT INTO bans_revision VALUES ('none');
    CREATE TABLE offenders (
        process TEXT NOT NULL, subject TEXT NOT NULL, failures INTEGER NOT NULL, last_at INTEGER NOT NULL,
        said_at INTEGER NOT NULL, PRIMARY KEY (process, subject)
    ) STRICT, WITHOUT ROWID
    """
# Why keys were refused, as a JSON object.
OFFENDER_REASONS_SCHEMA = "ALTER TABLE offenders ADD COLUMN reasons TEXT NOT NULL DEFAULT '{}'"
_PUT = "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?, ?)"


def read_bans(connection: sqlite3.Connection, known: str) -> BanList | None:
    """Return all bans. See `KeyStore`."""
    (revision,) = connection.execute("SELECT revision FROM bans_revision").fetchone()
    if revision == known:
        return None
    return BanList(revision, tuple(map(_ban, connection.execute("SELECT * FROM bans"))))


def put_bans(connection: sqlite3.Connection, bans: Sequence[Ban]) -> None:
    """Keep bans, each where the subject's ban yields to it, and forget those that are over."""
    began_us = max((ban.began_us for ban in bans), default=0)
    connection.execute("DELETE FROM bans WHERE ends_at <= ?", (began_us,))
    for ban in bans:
        held = connection.execute("SELECT * FROM bans WHERE subject = ?", (ban.subject,)).fetchone()
        if held is None or _ban(held).yields_to(ban):
            connection.execute(_PUT, (*ban,))
            _change(connection)


def drop_ban(connection: sqlite3.Connection, subject: str) -> bool:
    """End a subject's ban. See `KeyStore`."""
    dropped = connection.execute("DELETE FROM bans WHERE subject = ?", (subject,)).rowcount > 0
    if dropped:
        _change(connection)
    return dropped


def put_offenders(
    connection: sqlite3.Connection, process: str, offenders: Sequence[Offender], now_us: int
) -> None:
    """Keep what a process says, and forget what was said too long ago. See `KeyStore`."""
    query = "DELETE FROM offenders WHERE process = ? OR said_at <= ?"
    connection.execute(query, (process, now_us - OFFENDERS_KEPT_US))
    rows = [
        (process, subject, failures, last_us, now_us, orjson.dumps(dict(reasons)).decode())
        for subject, failures, last_us, reasons in offenders
    ]
    connection.executemany("INSERT INTO offenders VALUES (?, ?, ?, ?, ?, ?)", rows)


def read_offenders(connection: sqlite3.Connection, now_us: int) -> list[Offender]:
    """Return who fails most. See `KeyStore`."""
    query = "SELECT subject, failures, last_at, reasons FROM offenders WHERE said_at > ?"
    rows = connection.execute(query, (now_us - OFFENDERS_KEPT_US,))
    try:
        return [
            Offender(subject, failures, last_us, orjson.loads(reasons))
            for subject, failures, last_us, reasons in rows
        ]
    except ValueError as error:
        raise StoreError(f"who fails most can't be read: {error}") from error


def _change(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE bans_revision SET revision = ?", (secrets.token_hex(8),))


def _ban(row: Sequence[object]) -> Ban:
    subject, origin, began_us, ends_us, reason, actor = map(str, row)
    try:
        return Ban(subject, Origin(origin), int(began_us), int(ends_us), reason, actor)
    except ValueError as error:
        raise StoreError(f"the ban of {subject} can't be read: {error}") from error
