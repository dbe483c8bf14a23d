"""One SQLite connection in one thread of its own, so that a slow disk never stops the event loop."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from extauth.errors import StoreError

Result = TypeVar("Result")

# How long a write waits for another process's write, in seconds.
BUSY_TIMEOUT = 5.0
# What SQLite's faults mean to whoever looks after the file, by their primary codes.
_FAULTS = {
    sqlite3.SQLITE_BUSY: "locked: another process has been writing for too long",
    sqlite3.SQLITE_CANTOPEN: "can't be opened",
    sqlite3.SQLITE_CORRUPT: "damaged; restore it from a backup",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "can't be read or written: its disk fails",
    sqlite3.SQLITE_NOTADB: "no SQLite database",
    sqlite3.SQLITE_READONLY: "can't be written",
}
_PRIMARY = 0xFF


class SqliteThread:
    """Runs functions on a connection, each in a transaction, in the order they were given.

    The order matters: a read that was given after a write sees it. All faults of SQLite come out as
    StoreError.
    """

    def __init__(self, path: Path, *, kind: str, synchronous: str, schema: Sequence[str]) -> None:
        self._path = path
        self._kind = kind
        self._synchronous = synchronous
        self._schema = schema
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{kind}")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or create the file, readable by its owner only, and bring its schema up to date.

        Raises StoreError.
        """
        await self._run(self._open)

    async def transaction(
        self, work: Callable[[sqlite3.Connection], Result], *, writes: bool = False
    ) -> Result:
        """Run the work in a transaction: committed where it returns, rolled back where it raises.

        Work that `writes` has the file for itself from its first read on: what it read still holds when it
        writes.
        """

        def in_transaction() -> Result:
            with self._opened() as connection:
                # Without this Python's sqlite3 begins a transaction at the first write only.
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                return work(connection)

        return await self._run(in_transaction)

    async def close(self) -> None:
        """Close the connection after the work that was given before, and end the thread."""
        await self._run(self._close)
        self._pool.shutdown(wait=False)

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {told(error)}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path}: not open")
        return self._connection

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Created here first, because SQLite would create it readable by all.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Apply the steps that the file has not had: `PRAGMA user_version` counts those it had."""
        known = len(self._schema)
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > known:
                raise StoreError(
                    f"{self._path}: written by a newer extauth "
                    f"({self._kind} schema {version}; this one knows {known})"
                )
            for step in self._schema[version:]:
                for statement in step.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {known}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def told(error: sqlite3.Error | OSError) -> str:
    """Say what is wrong in words for operators."""
    if isinstance(error, FileExistsError):
        # Where a folder is made, that is said of a file.
        return f"{error.filename} is no folder"
    if isinstance(error, OSError):
        return error.strerror or "can't be used"
    # Python has faults of its own, which have no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return _FAULTS.get(code & _PRIMARY, f"SQLite says: {error}")
