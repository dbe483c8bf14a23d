"""Key records and audit entries as rows of SQLite: the schema, and the way there and back.

Times are microseconds since 1970 UTC. `sequence` rises with every change of any key, so that other processes
can ask what is new; `counter` holds the last one, which a purge must not give out again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import orjson

from extauth.clock import from_us, to_us
from extauth.errors import StoreError
from extauth.model import ApiKey
from extauth.stores.base import AuditEntry, Claim
from extauth.stores.sqlite_bans import BAN_SCHEMA, OFFENDER_REASONS_SCHEMA

# One step for each version of the file that there ever was; see `SqliteThread`.
KEY_SCHEMA = (
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
    """
    ALTER TABLE keys ADD COLUMN revoked_reason TEXT NOT NULL DEFAULT '';
    ALTER TABLE keys ADD COLUMN rotated_at INTEGER;
    ALTER TABLE keys ADD COLUMN pepper_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE keys ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX keys_by_tier ON keys (tier, created_at, key_id);
    CREATE INDEX keys_by_pepper ON keys (pepper_id) WHERE revoked_at IS NULL;
    CREATE INDEX keys_by_revocation ON keys (revoked_at) WHERE revoked_at IS NOT NULL;
    CREATE TABLE counter (last INTEGER NOT NULL) STRICT;
    INSERT INTO counter SELECT coalesce(max(sequence), 0) FROM keys;
    CREATE TABLE grace_calls (
        key_id TEXT NOT NULL, address TEXT NOT NULL, calls INTEGER NOT NULL, PRIMARY KEY (key_id, address)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, source TEXT NOT NULL,
        action TEXT NOT NULL, key_id TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_key ON audit (key_id, id);
    CREATE INDEX audit_by_time ON audit (at);
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
        BEGIN SELECT raise(ABORT, 'audit entries never change'); END;
    CREATE TABLE claims (
        name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, key_id TEXT NOT NULL, at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # Days are written as they sort: 2027-01-31.
    """
    CREATE TABLE shadowed (
        day TEXT NOT NULL, limit_name TEXT NOT NULL, key_id TEXT NOT NULL, route TEXT NOT NULL,
        requests INTEGER NOT NULL, PRIMARY KEY (day, limit_name, key_id, route)
    ) STRICT, WITHOUT ROWID
    """,
    BAN_SCHEMA,
    # For people who look for a key by its name, whatever the case.
    "CREATE INDEX keys_by_name ON keys (lower(name), key_id)",
    OFFENDER_REASONS_SCHEMA,
)
COLUMNS = (
    "key_id", "version", "hashed_key", "hint", "user_id", "name", "tier", "scopes", "environment", "active",
    "created_at", "expires_at", "last_used", "revoked_at", "revoked_reason", "rotated_from", "rotated_to",
    "rotated_at", "grace_until", "limits", "metadata", "pepper_id", "imported",
)  # fmt: skip
# What a change of a record leaves alone: when the key was used is written by itself, and only forwards.
_UNCHANGED = ("key_id", "last_used")
CHANGED_COLUMNS = tuple(name for name in COLUMNS if name not in _UNCHANGED)
_MOMENTS = ("created_at", "expires_at", "last_used", "revoked_at", "rotated_at", "grace_until")
_FLAGS = ("active", "imported")
_MAPPINGS = ("limits", "metadata")
AUDIT_COLUMNS = ("at", "actor", "source", "action", "key_id", "before", "after")


def to_row(key: ApiKey) -> dict[str, object]:
    """Return a record as the values of its columns."""
    row: dict[str, object] = {name: getattr(key, name) for name in COLUMNS}
    for name in _MOMENTS:
        row[name] = _optional_us(getattr(key, name))
    for name in _FLAGS:
        row[name] = int(getattr(key, name))
    for name in _MAPPINGS:
        row[name] = _json(row[name])
    row["scopes"] = " ".join(key.scopes)
    return row


def from_row(row: Sequence[object]) -> ApiKey:
    """Return the record of a row with all `COLUMNS`. Raises StoreError where somebody spoilt it."""
    fields = dict(zip(COLUMNS, row, strict=True))
    try:
        for name in _MOMENTS:
            if (moment := fields[name]) is not None:
                fields[name] = from_us(int(str(moment)))
        for name in _MAPPINGS:
            fields[name] = orjson.loads(str(fields[name]))
    except (ValueError, OverflowError) as error:
        raise StoreError(f"the record of key {fields['key_id']} can't be read: {error}") from error
    for name in _FLAGS:
        fields[name] = bool(fields[name])
    fields["scopes"] = tuple(str(fields["scopes"]).split())
    return ApiKey(**fields)  # type: ignore[arg-type]  # the columns are the record's fields, made by to_row


def audit_values(entry: AuditEntry, key_id: str | None = None) -> tuple[object, ...]:
    """Return an entry as the values of `AUDIT_COLUMNS`, about that key if one is given."""
    about = entry.key_id if key_id is None else key_id
    before, after = _json(entry.before), _json(entry.after)
    return (to_us(entry.at), entry.actor, entry.source, entry.action, about, before, after)


def audit_entry(row: Sequence[object]) -> AuditEntry:
    """Return the entry of a row: its id, then all `AUDIT_COLUMNS`."""
    number, at, actor, source, action, key_id, before, after = row
    return AuditEntry(
        id=str(number),
        at=from_us(int(str(at))),
        actor=str(actor),
        source=str(source),
        action=str(action),
        key_id=str(key_id),
        before=orjson.loads(str(before)),
        after=orjson.loads(str(after)),
    )


def read_claim(connection: sqlite3.Connection, name: str) -> Claim | None:
    """Return whose a name is. See `KeyStore`."""
    query = "SELECT fingerprint, key_id, at FROM claims WHERE name = ?"
    row = connection.execute(query, (name,)).fetchone()
    return None if row is None else Claim(fingerprint=row[0], key_id=row[1], at=from_us(row[2]))


def _json(value: object) -> str:
    return orjson.dumps(value, default=dict).decode()


def _optional_us(moment: datetime | None) -> int | None:
    return None if moment is None else to_us(moment)
