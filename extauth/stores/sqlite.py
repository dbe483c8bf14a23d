"""The embedded stores: key records in one SQLite file, the archive of the limit buckets in one beside it.

Two files, because each SQLite file has one writer at a time: a flush of many buckets must not hold up a
revocation.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import orjson

from extauth.clock import from_us, to_us
from extauth.errors import ConflictError, InvalidInputError, NotFoundError, StoreError
from extauth.limits.algorithm import BucketState
from extauth.model import ApiKey
from extauth.stores.base import KeyChanges, KeyPage
from extauth.stores.sqlite_thread import SqliteThread

# Times are microseconds since 1970 UTC. `sequence` rises with every change of any key, so that other
# processes can ask what is new.
_KEY_SCHEMA = (
    """
    CREATE TABLE keys (
        key_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL UNIQUE, version INTEGER NOT NULL,
        hashed_key TEXT NOT NULL, hint TEXT NOT NULL, user_id TEXT NOT NULL, name TEXT NOT NULL,
        tier TEXT NOT NULL, scopes TEXT NOT NULL, environment TEXT NOT NULL, active INTEGER NOT NULL,
        created_at INTEGER NOT NULL, expires_at INTEGER, last_used INTEGER, revoked_at INTEGER,
        rotated_from TEXT, rotated_to TEXT, grace_until INTEGER, limits TEXT NOT NULL, metadata TEXT NOT NULL
    ) STRICT;
    CREATE INDEX keys_by_age ON keys (created_at, key_id);
    CREATE INDEX keys_by_user ON keys (user_id, created_at, key_id)
    """,
)
_BUCKET_SCHEMA = (
    """
    CREATE TABLE buckets (
        bucket TEXT PRIMARY KEY, spent TEXT NOT NULL, at_us INTEGER NOT NULL, full TEXT NOT NULL,
        clear_at_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)
_COLUMNS = (
    "key_id", "version", "hashed_key", "hint", "user_id", "name", "tier", "scopes", "environment", "active",
    "created_at", "expires_at", "last_used", "revoked_at", "rotated_from", "rotated_to", "grace_until",
    "limits", "metadata",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM keys"  # noqa: S608 - constant names, no input
_NEXT_SEQUENCE = "(SELECT coalesce(max(sequence), 0) + 1 FROM keys)"
_INSERT = (
    f"INSERT INTO keys (sequence, {', '.join(_COLUMNS)}) "  # noqa: S608 - constant names, no input
    f"VALUES ({_NEXT_SEQUENCE}, {', '.join('?' * len(_COLUMNS))})"
)
_ASSIGNMENTS = ", ".join(f"{column} = ?" for column in _COLUMNS)
_UPDATE = (
    f"UPDATE keys SET sequence = {_NEXT_SEQUENCE}, {_ASSIGNMENTS} "  # noqa: S608 - constant names, no input
    "WHERE key_id = ? AND version = ?"
)

# created_at and key id of the last key of a page; 18 digits fit into SQLite's 63 bits.
_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9A-Za-z]+)")
# The last moment that SQLite's 63 bits hold: a slow limit with a vast burst may take longer to clear.
_LATEST_US = 2**63 - 1


class SqliteKeyStore:
    """Key records in SQLite. See `KeyStore`.

    WAL and synchronous FULL: an acknowledged change survives a power cut.
    """

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path, kind="keys", synchronous="FULL", schema=_KEY_SCHEMA)

    async def open(self) -> None:
        """Open or create the file. Raises StoreError."""
        await self._thread.open()

    async def add(self, key: ApiKey) -> None:
        """Keep a new record. See `KeyStore`."""

        def insert(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(_INSERT, _to_row(key))
            except sqlite3.IntegrityError as error:
                raise ConflictError(f"key {key.key_id} exists already") from error

        await self._thread.transaction(insert)

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None. See `KeyStore`."""
        row = await self._thread.transaction(
            lambda connection: connection.execute(f"{_SELECT} WHERE key_id = ?", (key_id,)).fetchone()
        )
        return None if row is None else _from_row(row)

    async def save(self, key: ApiKey) -> None:
        """Replace the record of the version before. See `KeyStore`."""

        def update(connection: sqlite3.Connection) -> None:
            changed = connection.execute(_UPDATE, (*_to_row(key), key.key_id, key.version - 1)).rowcount
            if changed:
                return
            if connection.execute("SELECT 1 FROM keys WHERE key_id = ?", (key.key_id,)).fetchone():
                raise ConflictError(f"key {key.key_id} was changed meanwhile")
            raise NotFoundError(f"no key {key.key_id}")

        await self._thread.transaction(update)

    async def list(
        self, *, user_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first. See `KeyStore`."""
        after = _parse_cursor(cursor)
        conditions, values = ["(created_at, key_id) > (?, ?)"], [*after]
        if user_id is not None:
            conditions.append("user_id = ?")
            values.append(user_id)
        query = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY created_at, key_id LIMIT ?"
        rows = await self._thread.transaction(
            lambda connection: connection.execute(query, (*values, limit + 1)).fetchall()
        )
        keys = tuple(_from_row(row) for row in rows[:limit])
        more = len(rows) > limit
        return KeyPage(keys, f"{to_us(keys[-1].created_at)}.{keys[-1].key_id}" if more else None)

    async def count(self) -> int:
        """Return how many records there are."""
        (number,) = await self._thread.transaction(
            lambda connection: connection.execute("SELECT count(*) FROM keys").fetchone()
        )
        return int(number)

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return what changed since the cursor, by whatever process. See `KeyStore`."""

        def since(connection: sqlite3.Connection) -> KeyChanges:
            if cursor is None:
                (newest,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM keys").fetchone()
                return KeyChanges(newest, ())
            query = "SELECT sequence, key_id FROM keys WHERE sequence > ? ORDER BY sequence"
            rows = connection.execute(query, (cursor,)).fetchall()
            return KeyChanges(rows[-1][0] if rows else cursor, tuple(key_id for _, key_id in rows))

        return await self._thread.transaction(since)

    async def close(self) -> None:
        """Close the file."""
        await self._thread.close()


class SqliteBucketArchive:
    """The archive of the memory limit store. See `BucketArchive`.

    synchronous NORMAL: a power cut may cost the last second of counting, never the file.
    """

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path, kind="limits", synchronous="NORMAL", schema=_BUCKET_SCHEMA)
        self._lock_path = path.with_suffix(".lock")
        self._lock: int | None = None

    async def open(self) -> None:
        """Open or create the file.

        Raises StoreError, also where another server counts in it: each would miss the other's half.
        """
        await self._thread.open()
        # A file of its own: closing another descriptor of the database would drop SQLite's locks on it.
        try:
            self._lock = os.open(self._lock_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            await self.close()
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{self._lock_path}: {error.strerror}") from error
            raise StoreError(
                f"{self._lock_path}: another extauth serves from this store; "
                "the embedded store is for one process"
            ) from error

    async def load(self, now_us: int) -> Sequence[tuple[str, int, int, int, int]]:
        """Return the rows of all buckets that are not full by now. See `BucketArchive`."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, int, int, int, int]]:
            connection.execute("DELETE FROM buckets WHERE clear_at_us <= ?", (now_us,))
            query = "SELECT bucket, spent, at_us, full, clear_at_us FROM buckets"
            return [
                (bucket, int(spent), at_us, int(full), clear_at_us)
                for bucket, spent, at_us, full, clear_at_us in connection.execute(query)
            ]

        return await self._thread.transaction(read)

    async def write(self, states: Mapping[str, BucketState], forgotten: Collection[str]) -> None:
        """Keep these states and drop the forgotten buckets. See `BucketArchive`."""
        # Amounts are text: capacity times period can pass SQLite's 63 bits for a large monthly limit.
        rows = (
            (bucket, str(spent), at_us, str(full), min(clear_at_us, _LATEST_US))
            for bucket, (spent, at_us, full, clear_at_us) in states.items()
        )

        def replace(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM buckets WHERE bucket = ?", ((bucket,) for bucket in forgotten)
            )
            connection.executemany("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)", rows)

        await self._thread.transaction(replace)

    async def close(self) -> None:
        """Close the file, and let another server have it."""
        await self._thread.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _parse_cursor(cursor: str | None) -> tuple[int | str, ...]:
    if cursor is None:
        return (-1, "")
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInputError("the cursor is not one that a list handed out")
    return (int(match[1]), match[2])


def _to_row(key: ApiKey) -> tuple[object, ...]:
    return (
        key.key_id, key.version, key.hashed_key, key.hint, key.user_id, key.name, key.tier,
        " ".join(key.scopes), key.environment, int(key.active), to_us(key.created_at),
        _optional_us(key.expires_at), _optional_us(key.last_used), _optional_us(key.revoked_at),
        key.rotated_from, key.rotated_to, _optional_us(key.grace_until),
        orjson.dumps(dict(key.limits)).decode(), orjson.dumps(dict(key.metadata)).decode(),
    )  # fmt: skip


def _from_row(row: Sequence[object]) -> ApiKey:
    fields = dict(zip(_COLUMNS, row, strict=True))
    try:
        for name in ("created_at", "expires_at", "last_used", "revoked_at", "grace_until"):
            if (moment := fields[name]) is not None:
                fields[name] = from_us(int(str(moment)))
        fields["limits"] = orjson.loads(str(fields["limits"]))
        fields["metadata"] = orjson.loads(str(fields["metadata"]))
    except (ValueError, OverflowError) as error:
        raise StoreError(f"the record of key {fields['key_id']} can't be read: {error}") from error
    fields["scopes"] = tuple(str(fields["scopes"]).split())
    fields["active"] = bool(fields["active"])
    return ApiKey(**fields)  # type: ignore[arg-type]  # the columns are the record's fields, made by _to_row


def _optional_us(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)
