"""How faults of the embedded stores come out: as StoreError, with the file, in words for operators."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from extauth.errors import StoreError
from extauth.stores import sqlite_thread
from extauth.stores.sqlite import SqliteKeyStore
from extauth.stores.sqlite_archive import SqliteBucketArchive
from tests.keys import entry, record
from tests.stores import with_keys


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """With its name."""
    file = tmp_path / "extauth.db"
    file.write_bytes(b"this is no database, and long enough to be seen as none" * 50)

    async def scenario() -> None:
        with pytest.raises(StoreError, match=r"extauth\.db: no SQLite database"):
            await SqliteKeyStore(file).open()

    asyncio.run(scenario())
    assert file.read_bytes().startswith(b"this is no database")


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").write_text("")

    async def scenario() -> None:
        with pytest.raises(StoreError, match=r"extauth\.db: .*data is no folder$"):
            await SqliteKeyStore(tmp_path / "data" / "extauth.db").open()

    asyncio.run(scenario())


def test_a_store_that_is_not_open_is_told(tmp_path: Path) -> None:
    """As a fault of the store."""

    async def scenario() -> None:
        store = SqliteKeyStore(tmp_path / "extauth.db")
        with pytest.raises(StoreError, match="not open"):
            await store.count()
        await store.close()

    asyncio.run(scenario())


def test_a_store_that_stays_locked_is_a_fault_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write waits for another process's write only so long; reads don't wait at all."""
    monkeypatch.setattr(sqlite_thread, "BUSY_TIMEOUT", 0.05)

    async def scenario(store: SqliteKeyStore) -> None:
        await store.add(record(), entry())
        blocker = sqlite3.connect(tmp_path / "extauth.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has been writing for too long"):
            await store.add(record("AAAAbbbb0002"), entry())
        assert await store.count() == 1
        blocker.execute("ROLLBACK")
        blocker.close()
        await store.add(record("AAAAbbbb0002"), entry())

    with_keys(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["keys", "limits"])
def test_a_folder_in_the_files_place_is_told(tmp_path: Path, kind: str) -> None:
    """In the system's words alone: no number of an error, and the path once."""
    file = tmp_path / "extauth.db"
    file.mkdir()
    store = SqliteKeyStore(file) if kind == "keys" else SqliteBucketArchive(file)

    async def scenario() -> None:
        with pytest.raises(StoreError) as fault:
            await store.open()
        assert str(fault.value) == f"{file}: Is a directory"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_IOERR_FSYNC, "can't be read or written: its disk fails"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "can't be written"),
        (sqlite3.SQLITE_CORRUPT, "damaged; restore it from a backup"),
        (sqlite3.SQLITE_MISUSE, "SQLite says: the original words"),
        (None, "SQLite says: the original words"),
    ],
)
def test_faults_are_told_in_plain_words(tmp_path: Path, code: int | None, words: str) -> None:
    """Also those that a test can't bring about; what nobody foresaw, as SQLite tells it."""

    def fail(_connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("the original words")
        if code is not None:
            error.sqlite_errorcode = code
        raise error

    async def scenario(store: SqliteKeyStore) -> None:
        with pytest.raises(StoreError) as fault:
            await store._thread.transaction(fail)
        assert str(fault.value) == f"{tmp_path / 'extauth.db'}: {words}"

    with_keys(tmp_path, scenario)
