"""What is special about the embedded stores: files, schema, other processes, and how faults come out."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from extauth.clock import from_us
from extauth.errors import StoreError
from extauth.stores.base import AuditFilter, Claim, KeyChanges
from extauth.stores.sqlite import SqliteKeyStore
from extauth.stores.sqlite_archive import SqliteBucketArchive
from extauth.stores.sqlite_rows import KEY_SCHEMA
from tests.keys import entry, record
from tests.stores import sqlite_archive, sqlite_keys, with_keys

NOW = 1_772_366_400_000_000


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    """Hashes and users are nobody else's business: neither the folder nor any file in it is open."""
    folder = tmp_path / "data"

    async def scenario() -> None:
        async with sqlite_keys(folder) as store, sqlite_archive(folder) as archive:
            await store.add(record(), entry())
            await archive.write({"b": (1, NOW, 2, NOW + 1)}, ())
            modes = {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()}
            assert {"extauth.db", "extauth.db-wal", "extauth-limits.db"} <= modes.keys()
            assert set(modes.values()) == {0}

    asyncio.run(scenario())
    assert folder.stat().st_mode & 0o077 == 0


def test_what_was_acknowledged_is_there_after_opening_again(tmp_path: Path) -> None:
    """The schema is made once, and left alone by the next start."""

    async def add(store: SqliteKeyStore) -> None:
        await store.add(record(), entry())

    async def look(store: SqliteKeyStore) -> None:
        assert await store.count() == 1

    with_keys(tmp_path, add)
    with_keys(tmp_path, look)


def _first_row(query: str, connection: sqlite3.Connection) -> tuple[object, ...]:
    row: tuple[object, ...] = connection.execute(query).fetchone()
    return row


@pytest.mark.parametrize(("store", "level"), [(SqliteKeyStore, 2), (SqliteBucketArchive, 1)])
def test_files_are_as_durable_as_promised(
    tmp_path: Path, store: type[SqliteKeyStore | SqliteBucketArchive], level: int
) -> None:
    """WAL for both; FULL (2) for keys, so that a power cut loses no revocation, NORMAL (1) for counts."""

    async def scenario() -> None:
        opened = store(tmp_path / "x.db")
        await opened.open()
        try:
            for name, value in (("journal_mode", "wal"), ("synchronous", level)):
                query = f"PRAGMA {name}"
                (found,) = await opened._thread.transaction(partial(_first_row, query))
                assert found == value
        finally:
            await opened.close()

    asyncio.run(scenario())


def test_a_change_by_another_connection_is_visible(tmp_path: Path) -> None:
    """The command line's changes reach a running server: in `changes`, and in what is read afterwards."""

    async def scenario(store: SqliteKeyStore) -> None:
        await store.add(record(), entry())
        start = await store.changes(None)
        async with sqlite_keys(tmp_path) as other:
            await other.save(record(name="renamed", version=2), entry())
            await other.add(record("AAAAbbbb0002"), entry())
        changes = await store.changes(start.cursor)
        assert sorted(changes.key_ids) == ["AAAAbbbb0001", "AAAAbbbb0002"]
        read = await store.get("AAAAbbbb0001")
        assert read is not None
        assert read.name == "renamed"

    with_keys(tmp_path, scenario)


def test_two_connections_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each change has a sequence of its own, so that no watcher misses one."""

    async def scenario(store: SqliteKeyStore) -> None:
        start = await store.changes(None)
        async with sqlite_keys(tmp_path) as other:
            adding = [
                (store, other)[number % 2].add(record(f"AAAAbbbb{number:04}"), entry())
                for number in range(40)
            ]
            await asyncio.gather(*adding)
        assert await store.count() == 40
        assert len((await store.changes(start.cursor)).key_ids) == 40

    with_keys(tmp_path, scenario)


def test_a_file_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    """Going back to an older extauth damages nothing that a newer one wrote, and says what is wrong."""
    file = tmp_path / "extauth.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    async def scenario() -> None:
        with pytest.raises(
            StoreError, match=r"written by a newer extauth \(keys schema 99; this one knows 6\)"
        ):
            await SqliteKeyStore(file).open()

    asyncio.run(scenario())


@pytest.mark.parametrize(("column", "value"), [("metadata", "{broken"), ("created_at", 10**18)])
def test_a_record_that_makes_no_sense_is_a_fault_of_the_store(
    tmp_path: Path, column: str, value: object
) -> None:
    """What somebody wrote into the file by hand is a fault that names the key, and never read as a key."""

    async def scenario(store: SqliteKeyStore) -> None:
        await store.add(record(), entry())
        with sqlite3.connect(tmp_path / "extauth.db") as connection:
            connection.execute(f"UPDATE keys SET {column} = ?", (value,))  # noqa: S608 - a column of this test
        connection.close()
        with pytest.raises(StoreError, match="the record of key AAAAbbbb0001 can't be read"):
            await store.get("AAAAbbbb0001")

    with_keys(tmp_path, scenario)


def test_one_server_counts_in_an_archive(tmp_path: Path) -> None:
    """Two servers would each miss half of the requests: the second is refused until the first has gone."""

    async def scenario() -> None:
        async with sqlite_archive(tmp_path):
            second = SqliteBucketArchive(tmp_path / "extauth-limits.db")
            with pytest.raises(StoreError, match="another extauth serves from this store"):
                await second.open()
        async with sqlite_archive(tmp_path):
            pass

    asyncio.run(scenario())


def test_a_server_that_takes_over_waits_for_the_other_one(tmp_path: Path) -> None:
    """Where it is patient: it counts as soon as the first has gone, and not before."""

    async def scenario() -> None:
        impatient, second = (SqliteBucketArchive(tmp_path / "extauth-limits.db") for _ in range(2))
        async with sqlite_archive(tmp_path):
            with pytest.raises(StoreError, match="another extauth serves from this store"):
                await impatient.open(patience_seconds=0.05)
            opening = asyncio.create_task(second.open(patience_seconds=60))
            await asyncio.wait({opening}, timeout=0.1)
            assert not opening.done()
        await opening
        await second.close()

    asyncio.run(scenario())


def test_a_lease_of_another_version_is_passed_over(tmp_path: Path) -> None:
    """It is no reason not to start: a restart is when versions change."""

    async def scenario() -> None:
        file = tmp_path / "extauth-limits.db"
        async with sqlite_archive(tmp_path):
            pass
        for name, places in [("a", "[]"), ("b", "7"), ("c", '[[["bucket", [1], "", ""], 5]]'), ("d", "{")]:
            with sqlite3.connect(file) as connection:
                connection.execute("INSERT INTO leases VALUES (?, 'r', 1, ?)", (name, places))
        async with sqlite_archive(tmp_path) as archive:
            assert [lease.name for lease in await archive.kept_leases()] == ["a"]

    asyncio.run(scenario())


def test_a_lock_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    """For what it is, not as another server."""
    (tmp_path / "extauth-limits.lock").mkdir()

    async def scenario() -> None:
        with pytest.raises(StoreError, match=r"extauth-limits\.lock: Is a directory"):
            await SqliteBucketArchive(tmp_path / "extauth-limits.db").open()

    asyncio.run(scenario())


def test_what_was_given_first_is_done_first(tmp_path: Path) -> None:
    """A read that was given after a write sees it, although nobody waited in between."""

    async def scenario() -> None:
        async with sqlite_keys(tmp_path) as store:
            key = record()
            _, read, number = await asyncio.gather(
                store.add(key, entry()), store.get(key.key_id), store.count()
            )
            assert read is not None
            assert number == 1
            saving = store.save(replace(key, name="renamed", version=2), entry())
            _, read, _ = await asyncio.gather(saving, store.get(key.key_id), store.changes(None))
            assert read is not None
            assert read.name == "renamed"

    asyncio.run(scenario())


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its keys go on working, and its changes go on being counted where they were."""
    connection = sqlite3.connect(tmp_path / "extauth.db")
    for statement in KEY_SCHEMA[0].split(";\n"):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO keys VALUES ('AAAAbbbb0001', 7, 3, 'hash', 'hint', 'user-1', 'old', 'default', 'a:b c', "
        "'live', 1, 1772366400000000, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}')"
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()

    async def scenario(store: SqliteKeyStore) -> None:
        key = await store.get("AAAAbbbb0001")
        assert key is not None
        assert (key.name, key.version, key.scopes) == ("old", 3, ("a:b", "c"))
        assert (key.pepper_id, key.imported, key.revoked_reason) == ("", False, "")
        assert (await store.changes(None)).cursor == 7
        await store.save(replace(key, name="new", version=4), entry())
        assert await store.changes(7) == KeyChanges(8, ("AAAAbbbb0001",))

    with_keys(tmp_path, scenario)


def test_the_audit_log_can_only_grow_or_be_trimmed(tmp_path: Path) -> None:
    """Even who has the file open can't change an entry by mistake."""

    async def scenario(store: SqliteKeyStore) -> None:
        await store.note(entry())
        with sqlite3.connect(tmp_path / "extauth.db") as connection, pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE audit SET actor = 'nobody'")
        assert (await store.audit()).entries[0].actor == "tests"

    with_keys(tmp_path, scenario)


def test_two_processes_at_once_do_everything_once(tmp_path: Path) -> None:
    """What one of them reads before it writes still holds when it writes."""

    async def scenario(store: SqliteKeyStore) -> None:
        async with sqlite_keys(tmp_path) as other:
            both = (store, other)
            for number in range(20):
                user = f"user-{number}"
                ids = [f"AAAAbbb{side}{number:04}" for side in range(2)]
                adding = [
                    one.add(record(key_id, user_id=user), entry(key_id), most_of_user=1)
                    for one, key_id in zip(both, ids, strict=True)
                ]
                results = await asyncio.gather(*adding, return_exceptions=True)
                assert sum(result is None for result in results) == 1
            for key in (await store.list(limit=100)).keys:
                revoked = replace(key, active=False, revoked_at=key.created_at, version=2)
                await store.save(revoked, entry(key.key_id))
            purging = entry("", action="key.purged")
            moment = from_us(NOW + 10**12)
            purged = await asyncio.gather(*(one.purge(moment, purging) for one in both))
            assert sum(map(len, purged)) == 20
            audited = await store.audit(AuditFilter(action="key.purged"), limit=100)
            assert len(audited.entries) == 20

    with_keys(tmp_path, scenario)


def test_one_abandoned_claim_takes_no_other_along(tmp_path: Path) -> None:
    """Whose claim is given up for dead is its own matter."""

    async def scenario(store: SqliteKeyStore) -> None:
        def claim(key_id: str, seconds: int) -> Claim:
            return Claim(fingerprint="f", key_id=key_id, at=from_us(NOW + seconds * 1_000_000))

        old = claim("AAAAbbbb0001", 0)
        for name in ("x", "y"):
            await store.claim(name, old, stale_before=from_us(0))
        later = claim("AAAAbbbb0002", 60)
        assert await store.claim("y", later, stale_before=from_us(NOW + 1)) == later
        assert await store.claim("x", later, stale_before=from_us(0)) == old

    with_keys(tmp_path, scenario)
