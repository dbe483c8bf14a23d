"""The embedded key store: records and audit log in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from extauth.clock import to_us
from extauth.errors import ConflictError, NotFoundError, TooManyKeysError
from extauth.model import ApiKey
from extauth.stores.bans import Ban, BanList, Offender
from extauth.stores.base import (
    ALL_ENTRIES,
    ALL_KEYS,
    MOST_ADDRESSES,
    OTHER_ADDRESSES,
    AuditEntry,
    AuditFilter,
    AuditPage,
    Claim,
    GraceUse,
    KeyChanges,
    KeyFilter,
    KeyPage,
    KeyUse,
)
from extauth.stores.search import Found
from extauth.stores.shadowed import ShadowedCount
from extauth.stores.sqlite_bans import drop_ban, put_bans, put_offenders, read_bans, read_offenders
from extauth.stores.sqlite_lists import audit_page, key_page
from extauth.stores.sqlite_look import PEPPERS
from extauth.stores.sqlite_rows import (
    AUDIT_COLUMNS,
    CHANGED_COLUMNS,
    COLUMNS,
    KEY_SCHEMA,
    audit_values,
    from_row,
    read_claim,
    to_row,
)
from extauth.stores.sqlite_search import search_keys
from extauth.stores.sqlite_shadowed import add_shadowed, read_shadowed
from extauth.stores.sqlite_thread import SqliteThread

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM keys"  # noqa: S608 - constant names, no input
_COUNT = "UPDATE counter SET last = last + 1"
_LAST = "(SELECT last FROM counter)"
_INSERT = (
    f"INSERT INTO keys (sequence, {', '.join(COLUMNS)}) "  # noqa: S608 - constant names, no input
    f"VALUES ({_LAST}, {', '.join(f':{name}' for name in COLUMNS)})"
)
_UPDATE = (
    f"UPDATE keys SET sequence = {_LAST}, "  # noqa: S608 - constant names, no input
    f"{', '.join(f'{name} = :{name}' for name in CHANGED_COLUMNS)} "
    "WHERE key_id = :key_id AND version = :version - 1"
)
_AUDIT = (
    f"INSERT INTO audit ({', '.join(AUDIT_COLUMNS)}) "  # noqa: S608 - constant names, no input
    f"VALUES ({', '.join('?' * len(AUDIT_COLUMNS))})"
)
_TRIMMED_AT_ONCE = 5_000
# Nobody asks for a claim any longer than this.
_CLAIMS_KEPT = timedelta(hours=48)
_LAST_USED = "UPDATE keys SET last_used = ? WHERE key_id = ? AND coalesce(last_used, 0) < ?"
_CALLS = (
    "INSERT INTO grace_calls VALUES (?, ?, ?) "
    "ON CONFLICT (key_id, address) DO UPDATE SET calls = calls + excluded.calls"
)


class SqliteKeyStore:
    """Key records in SQLite. See `KeyStore`.

    WAL and synchronous FULL: an acknowledged change survives a power cut.
    """

    is_shared = False

    def __init__(self, path: Path) -> None:
        self._thread = SqliteThread(path, kind="keys", synchronous="FULL", schema=KEY_SCHEMA)

    async def open(self) -> None:
        """Open or create the file. Raises StoreError."""
        await self._thread.open()

    async def add(self, key: ApiKey, entry: AuditEntry, *, most_of_user: int | None = None) -> None:
        """Keep a new record. See `KeyStore`."""

        def insert(connection: sqlite3.Connection) -> None:
            query = "SELECT count(*) FROM keys WHERE user_id = ? AND revoked_at IS NULL"
            if most_of_user is not None:
                (number,) = connection.execute(query, (key.user_id,)).fetchone()
                if number >= most_of_user:
                    raise TooManyKeysError(f"user {key.user_id} has {number} keys, as many as they may have")
            _insert(connection, key)
            connection.execute(_AUDIT, audit_values(entry))

        await self._thread.transaction(insert, writes=True)

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None. See `KeyStore`."""
        row = await self._thread.transaction(
            lambda connection: connection.execute(f"{_SELECT} WHERE key_id = ?", (key_id,)).fetchone()
        )
        return None if row is None else from_row(row)

    async def save(self, key: ApiKey, entry: AuditEntry) -> None:
        """Replace the record of the version before. See `KeyStore`."""

        def update(connection: sqlite3.Connection) -> None:
            _update(connection, key)
            connection.execute(_AUDIT, audit_values(entry))

        await self._thread.transaction(update, writes=True)

    async def rotate(self, old: ApiKey, new: ApiKey, entries: tuple[AuditEntry, AuditEntry]) -> None:
        """Save the old record and add the new one, in one transaction. See `KeyStore`."""

        def exchange(connection: sqlite3.Connection) -> None:
            _update(connection, old)
            _insert(connection, new)
            connection.executemany(_AUDIT, map(audit_values, entries))

        await self._thread.transaction(exchange, writes=True)

    async def purge(
        self, revoked_before: datetime, entry: AuditEntry, *, limit: int = 500
    ) -> tuple[str, ...]:
        """Forget keys revoked before that time. See `KeyStore`."""

        def forget(connection: sqlite3.Connection) -> tuple[str, ...]:
            query = "SELECT key_id FROM keys WHERE revoked_at < ? ORDER BY revoked_at LIMIT ?"
            rows = connection.execute(query, (to_us(revoked_before), limit)).fetchall()
            for (key_id,) in rows:
                connection.execute("DELETE FROM keys WHERE key_id = ?", (key_id,))
                connection.execute("DELETE FROM grace_calls WHERE key_id = ?", (key_id,))
                connection.execute(_AUDIT, audit_values(entry, key_id))
            return tuple(key_id for (key_id,) in rows)

        return await self._thread.transaction(forget, writes=True)

    async def list(
        self, wanted: KeyFilter = ALL_KEYS, *, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first. See `KeyStore`."""
        return await self._thread.transaction(
            lambda connection: key_page(connection, wanted, cursor=cursor, limit=limit)
        )

    async def complete_search(self) -> int:
        """Nothing to do: the index is part of the schema. See `SearchableStore`."""
        return 0

    async def search(self, beginning: str, *, limit: int) -> Found:
        """Return what begins so. See `SearchableStore`."""
        return await self._thread.transaction(lambda connection: search_keys(connection, beginning, limit))

    async def count(self) -> int:
        """Return how many records there are."""
        query = "SELECT count(*) FROM keys"
        (number,) = await self._thread.transaction(lambda connection: connection.execute(query).fetchone())
        return int(number)

    async def peppers(self) -> Mapping[str, int]:
        """Return how many living keys need which pepper. See `KeyStore`."""
        return dict(await self._thread.transaction(lambda connection: connection.execute(PEPPERS).fetchall()))

    async def note_uses(self, uses: Sequence[KeyUse]) -> None:
        """Note when keys were used. See `KeyStore`."""

        def note(connection: sqlite3.Connection) -> None:
            for use in uses:
                moment = to_us(use.last_used)
                connection.execute(_LAST_USED, (moment, use.key_id, moment))
                if use.calls:
                    _add_calls(connection, use)

        await self._thread.transaction(note, writes=True)

    async def grace_use(self, key_id: str) -> GraceUse:
        """Return how often a key was used in its grace. See `KeyStore`."""
        addresses = await self._thread.transaction(lambda connection: _calls_of(connection, key_id))
        return GraceUse(sum(addresses.values()), addresses)

    async def audit(
        self, wanted: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 100
    ) -> AuditPage:
        """Return a page of the audit log, newest first. See `KeyStore`."""
        return await self._thread.transaction(
            lambda connection: audit_page(connection, wanted, cursor=cursor, limit=limit)
        )

    async def note(self, entry: AuditEntry) -> None:
        """Write an audit entry. See `KeyStore`."""
        await self._thread.transaction(
            lambda connection: connection.execute(_AUDIT, audit_values(entry)), writes=True
        )

    async def trim_audit(self, before: datetime) -> int:
        """Forget entries from before that time. See `KeyStore`."""
        query = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? LIMIT ?)"
        trimmed = 0
        while True:
            # In pieces, because whatever else the store does waits for each.
            removed = await self._thread.transaction(
                lambda connection: connection.execute(query, (to_us(before), _TRIMMED_AT_ONCE)).rowcount,
                writes=True,
            )
            trimmed += removed
            if removed < _TRIMMED_AT_ONCE:
                return trimmed

    async def claim(self, name: str, claim: Claim, *, stale_before: datetime) -> Claim:
        """Take a name. See `KeyStore`."""

        def take(connection: sqlite3.Connection) -> Claim:
            connection.execute("DELETE FROM claims WHERE at < ?", (to_us(claim.at - _CLAIMS_KEPT),))
            query = "DELETE FROM claims WHERE name = ? AND at < ?"
            connection.execute(query, (name, to_us(stale_before)))
            values = (name, claim.fingerprint, claim.key_id, to_us(claim.at))
            connection.execute("INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?)", values)
            held = read_claim(connection, name)
            assert held is not None
            return held

        return await self._thread.transaction(take, writes=True)

    async def claimed(self, name: str) -> Claim | None:
        """Return whose a name is. See `KeyStore`."""
        return await self._thread.transaction(lambda connection: read_claim(connection, name))

    async def release(self, name: str, claim: Claim) -> None:
        """Give a name back. See `KeyStore`."""
        query = "DELETE FROM claims WHERE name = ? AND key_id = ?"
        await self._thread.transaction(
            lambda connection: connection.execute(query, (name, claim.key_id)), writes=True
        )

    async def note_shadowed(self, counts: Sequence[ShadowedCount]) -> None:
        """Add counts up. See `ShadowedStore`."""
        await self._thread.transaction(lambda connection: add_shadowed(connection, counts), writes=True)

    async def shadowed(self, since: date, until: date) -> Sequence[ShadowedCount]:
        """Return the counts of these days. See `ShadowedStore`."""
        return await self._thread.transaction(lambda connection: read_shadowed(connection, since, until))

    async def bans(self, known: str = "") -> BanList | None:
        """Return all bans. See `KeyStore`."""
        return await self._thread.transaction(lambda connection: read_bans(connection, known))

    async def ban(self, ban: Ban, entry: AuditEntry) -> None:
        """Ban a subject. See `KeyStore`."""

        def put(connection: sqlite3.Connection) -> None:
            put_bans(connection, [ban])
            connection.execute(_AUDIT, audit_values(entry))

        await self._thread.transaction(put, writes=True)

    async def note_bans(self, bans: Sequence[Ban]) -> None:
        """Keep automatic bans. See `KeyStore`."""
        await self._thread.transaction(lambda connection: put_bans(connection, bans), writes=True)

    async def lift(self, subject: str, entry: AuditEntry) -> bool:
        """End a ban. See `KeyStore`."""

        def drop(connection: sqlite3.Connection) -> bool:
            dropped = drop_ban(connection, subject)
            if dropped:
                connection.execute(_AUDIT, audit_values(entry))
            return dropped

        return await self._thread.transaction(drop, writes=True)

    async def note_offenders(self, process: str, offenders: Sequence[Offender], now_us: int) -> None:
        """Keep who fails most in a process. See `KeyStore`."""
        said = (process, offenders, now_us)
        await self._thread.transaction(lambda connection: put_offenders(connection, *said), writes=True)

    async def offenders(self, now_us: int) -> Sequence[Offender]:
        """Return who fails most. See `KeyStore`."""
        return await self._thread.transaction(lambda connection: read_offenders(connection, now_us))

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return what changed since the cursor, by whatever process. See `KeyStore`."""

        def since(connection: sqlite3.Connection) -> KeyChanges:
            if cursor is None:
                (last,) = connection.execute(f"SELECT {_LAST}").fetchone()
                return KeyChanges(last, ())
            query = "SELECT sequence, key_id FROM keys WHERE sequence > ? ORDER BY sequence"
            rows = connection.execute(query, (cursor,)).fetchall()
            return KeyChanges(rows[-1][0] if rows else cursor, tuple(key_id for _, key_id in rows))

        return await self._thread.transaction(since)

    async def versions(self, key_ids: Sequence[str]) -> Sequence[int]:
        """Return the versions of these records. See `KeyStore`."""

        def read(connection: sqlite3.Connection) -> list[int]:
            query = "SELECT version FROM keys WHERE key_id = ?"
            found = (connection.execute(query, (key_id,)).fetchone() for key_id in key_ids)
            return [0 if row is None else row[0] for row in found]

        return await self._thread.transaction(read)

    async def durability(self) -> str:
        """Return what becomes of a change in a crash. See `KeyStore`."""
        return "Each key change is on the disk before it is acknowledged; it survives a power cut."

    async def close(self) -> None:
        """Close the file."""
        await self._thread.close()


def _insert(connection: sqlite3.Connection, key: ApiKey) -> None:
    connection.execute(_COUNT)
    try:
        connection.execute(_INSERT, to_row(key))
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"key {key.key_id} exists already") from error


def _update(connection: sqlite3.Connection, key: ApiKey) -> None:
    connection.execute(_COUNT)
    if connection.execute(_UPDATE, to_row(key)).rowcount:
        return
    if connection.execute("SELECT 1 FROM keys WHERE key_id = ?", (key.key_id,)).fetchone():
        raise ConflictError(f"key {key.key_id} was changed meanwhile")
    raise NotFoundError(f"no key {key.key_id}")


def _add_calls(connection: sqlite3.Connection, use: KeyUse) -> None:
    if connection.execute("SELECT 1 FROM keys WHERE key_id = ?", (use.key_id,)).fetchone() is None:
        return
    known = set(_calls_of(connection, use.key_id)) - {OTHER_ADDRESSES}
    for address, calls in use.calls.items():
        if address not in known and len(known) >= MOST_ADDRESSES:
            connection.execute(_CALLS, (use.key_id, OTHER_ADDRESSES, calls))
        else:
            known.add(address)
            connection.execute(_CALLS, (use.key_id, address, calls))


def _calls_of(connection: sqlite3.Connection, key_id: str) -> dict[str, int]:
    query = "SELECT address, calls FROM grace_calls WHERE key_id = ? ORDER BY calls DESC, address"
    return dict(connection.execute(query, (key_id,)).fetchall())
