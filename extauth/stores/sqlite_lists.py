"""Pages of keys and audit entries from SQLite: cursors, conditions, and a bound on what a page looks at."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from extauth.clock import to_us
from extauth.errors import InvalidInputError
from extauth.stores.base import LOOKED_AT_ONCE, AuditFilter, AuditPage, KeyFilter, KeyPage
from extauth.stores.sqlite_rows import AUDIT_COLUMNS, COLUMNS, audit_entry, from_row

Item = TypeVar("Item")
# created_at and key id of the last key that was looked at; 18 digits fit into SQLite's 63 bits.
_KEY_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9A-Za-z]+)")
_AUDIT_CURSOR = re.compile(r"[0-9]{1,18}")
# Before the first key, and behind the newest entry.
_BEGINNING = (-1, "")
_NEWEST = 2**63 - 1


def key_page(connection: sqlite3.Connection, wanted: KeyFilter, *, cursor: str | None, limit: int) -> KeyPage:
    """Return a page of keys, oldest first.

    An index leads to the keys of a user or of a tier; what else is asked of them is looked at one by one.
    """
    conditions, values = ["(created_at, key_id) > (?, ?)"], [*_parse_key_cursor(cursor)]
    for name in ("user_id", "tier"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    query = (
        f"SELECT {', '.join(COLUMNS)} FROM keys "  # noqa: S608 - constant names, no input
        f"WHERE {' AND '.join(conditions)} ORDER BY created_at, key_id LIMIT ?"
    )
    rows = connection.execute(query, (*values, LOOKED_AT_ONCE + 1))
    found, last = _look_through(rows, from_row, wanted.fits, limit)
    return KeyPage(tuple(found), None if last is None else f"{to_us(last.created_at)}.{last.key_id}")


def audit_page(
    connection: sqlite3.Connection, wanted: AuditFilter, *, cursor: str | None, limit: int
) -> AuditPage:
    """Return a page of audit entries, newest first."""
    conditions, values = ["id < ?"], [_parse_audit_cursor(cursor)]
    if wanted.key_id is not None:
        conditions.append("key_id = ?")
        values.append(wanted.key_id)
    query = (
        f"SELECT id, {', '.join(AUDIT_COLUMNS)} FROM audit "  # noqa: S608 - constant names, no input
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
    )
    rows = connection.execute(query, (*values, LOOKED_AT_ONCE + 1))
    found, last = _look_through(rows, audit_entry, wanted.fits, limit)
    return AuditPage(tuple(found), None if last is None else last.id)


def _look_through(
    rows: Iterable[Sequence[object]],
    read: Callable[[Sequence[object]], Item],
    fits: Callable[[Item], bool],
    limit: int,
) -> tuple[list[Item], Item | None]:
    """Return what fits, and the last that was looked at, or None where there is no more behind it."""
    found: list[Item] = []
    last = None
    for number, row in enumerate(rows):
        if len(found) == limit or number == LOOKED_AT_ONCE:
            return found, last
        last = read(row)
        if fits(last):
            found.append(last)
    return found, None


def _parse_key_cursor(cursor: str | None) -> Sequence[int | str]:
    if cursor is None:
        return _BEGINNING
    match = _KEY_CURSOR.fullmatch(cursor)
    if match is None or not match[1].isascii():
        raise _foreign_cursor()
    return (int(match[1]), match[2])


def _parse_audit_cursor(cursor: str | None) -> int | str:
    if cursor is None:
        return _NEWEST
    if _AUDIT_CURSOR.fullmatch(cursor) is None:
        raise _foreign_cursor()
    return int(cursor)


def _foreign_cursor() -> InvalidInputError:
    return InvalidInputError.of([("cursor", "the cursor is not one that a list handed out")])
