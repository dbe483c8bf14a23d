"""Finding keys and users in SQLite by how they begin: an index leads to each."""

from __future__ import annotations

import sqlite3

from extauth.model import ApiKey
from extauth.stores.search import Found, folded
from extauth.stores.sqlite_rows import COLUMNS, from_row

# Behind it no character comes, so that what begins with a text lies between that and the same with this.
_LAST = "\U0010ffff"


def search_keys(connection: sqlite3.Connection, beginning: str, limit: int) -> Found:
    """Return what is found. See `SearchableStore`."""
    keys: dict[str, ApiKey] = {}
    for column, text in (("key_id", beginning), ("lower(name)", folded(beginning))):
        query = (
            f"SELECT {', '.join(COLUMNS)} FROM keys "  # noqa: S608 - constant names, no input
            f"WHERE {column} >= ? AND {column} < ? ORDER BY {column}, key_id LIMIT ?"
        )
        for row in connection.execute(query, (text, text + _LAST, limit)):
            key = from_row(row)
            keys.setdefault(key.key_id, key)
    query = (
        "SELECT user_id, count(*) FROM keys WHERE user_id >= ? AND user_id < ? GROUP BY user_id "
        "ORDER BY user_id LIMIT ?"
    )
    users = dict(connection.execute(query, (beginning, beginning + _LAST, limit)).fetchall())
    return Found(keys=tuple(keys.values())[:limit], users=users)
