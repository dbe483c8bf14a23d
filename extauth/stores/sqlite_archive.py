"""The archive of the limit buckets in a SQLite file beside the keys.

A file of its own, because each SQLite file has one writer at a time: a flush of many buckets must not hold up
a revocation.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from extauth.errors import StoreError
from extauth.limits.algorithm import BucketState
from extauth.stores.sqlite_files import lock_of
from extauth.stores.sqlite_leases import LEASE_SCHEMA, keep_leases, kept_leases
from extauth.stores.sqlite_thread import SqliteThread
from extauth.throttle.memory import Kept

_BUCKET_SCHEMA = (
    """
    CREATE TABLE buckets (
        bucket TEXT PRIMARY KEY, spent TEXT NOT NULL, at_us INTEGER NOT NULL, full TEXT NOT NULL,
        clear_at_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # Spent amounts became the time in which they are refilled. For the whole bucket that follows from the
    # proportion, rounded up. What doesn't fit would take longer than a lifetime to be refilled.
    """
    ALTER TABLE buckets RENAME TO amounts;
    CREATE TABLE buckets (
        bucket TEXT PRIMARY KEY, first INTEGER NOT NULL, second INTEGER NOT NULL, third INTEGER NOT NULL,
        clear_at_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO buckets
        SELECT bucket, owed_us, 0,
            CAST(full_us AS INTEGER) + (full_us > CAST(full_us AS INTEGER)), clear_at_us
        FROM (
            SELECT bucket, clear_at_us - at_us AS owed_us, clear_at_us,
                CAST(full AS REAL) * (clear_at_us - at_us) / CAST(spent AS REAL) AS full_us
            FROM amounts WHERE clear_at_us > at_us AND CAST(spent AS REAL) > 0
        )
        WHERE full_us < 9007199254740992 AND clear_at_us < 9007199254740992;
    DROP TABLE amounts
    """,
    LEASE_SCHEMA,
)


# How often a lock is tried that another process holds, in seconds.
_TRY_AGAIN_SECONDS = 0.02


class InUseError(StoreError):
    """A server counts in this archive."""


class SqliteBucketArchive:
    """The archive of the memory limit store. See `BucketArchive`.

    synchronous NORMAL: a power cut may cost the last second of counting, never the file.
    """

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path, kind="limits", synchronous="NORMAL", schema=_BUCKET_SCHEMA)
        self._lock_path = lock_of(path)
        self._lock: int | None = None

    async def open(self, *, to_count: bool = True, patience_seconds: float = 0.0) -> None:
        """Open or create the file.

        Raises StoreError, and InUseError where another server counts in it, and goes on for longer than the
        patience lasts: each would miss the other's half. Without `to_count` it is only there to be read,
        whoever counts.
        """
        await self._thread.open()
        if not to_count:
            return
        # A file of its own: closing another descriptor of the database would drop SQLite's locks on it.
        try:
            self._lock = os.open(self._lock_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            await _locked(self._lock, patience_seconds)
        except OSError as error:
            await self.close()
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{self._lock_path}: {error.strerror}") from error
            raise InUseError(
                f"{self._lock_path}: another extauth serves from this store; "
                "the embedded store is for one process"
            ) from error

    async def load(self, now_us: int) -> Sequence[tuple[str, int, int, int, int]]:
        """Return the rows of all buckets that are not full by now. See `BucketArchive`."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, int, int, int, int]]:
            connection.execute("DELETE FROM buckets WHERE clear_at_us <= ?", (now_us,))
            query = "SELECT bucket, first, second, third, clear_at_us FROM buckets"
            return connection.execute(query).fetchall()

        return await self._thread.transaction(read)

    async def read(self, buckets: Sequence[str]) -> dict[str, BucketState]:
        """Return the states of those buckets that have one."""

        def read(connection: sqlite3.Connection) -> dict[str, BucketState]:
            query = "SELECT first, second, third, clear_at_us FROM buckets WHERE bucket = ?"
            rows = ((bucket, connection.execute(query, (bucket,)).fetchone()) for bucket in buckets)
            return {bucket: row for bucket, row in rows if row is not None}

        return await self._thread.transaction(read)

    async def write(self, states: Mapping[str, BucketState], forgotten: Collection[str]) -> None:
        """Keep these states and drop the forgotten buckets. See `BucketArchive`."""
        rows = [(bucket, *state) for bucket, state in states.items()]

        def replace(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM buckets WHERE bucket = ?", ((bucket,) for bucket in forgotten)
            )
            connection.executemany("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)", rows)

        await self._thread.transaction(replace)

    async def keep_leases(self, kept: Sequence[Kept]) -> None:
        """Keep the leases that are held at the end of a process. See `BucketArchive`."""
        await self._thread.transaction(lambda connection: keep_leases(connection, kept))

    async def kept_leases(self) -> Sequence[Kept]:
        """Return the leases that were kept. See `BucketArchive`."""
        return await self._thread.transaction(kept_leases)

    async def close(self) -> None:
        """Close the file, and let another server have it."""
        await self._thread.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


async def _locked(lock: int, patience_seconds: float) -> None:
    """Take the lock; a BlockingIOError where another process holds it for too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if loop.time() >= deadline:
                raise
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
        else:
            return
