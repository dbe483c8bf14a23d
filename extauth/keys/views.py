"""What may be shown of a key record: everything but the hash, as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from extauth.model import RECORD_FIELDS, ApiKey
from extauth.stores.base import AuditEntry

_SHOWN = tuple(name for name in RECORD_FIELDS if name != "hashed_key")
# They change with every change, or without one.
_NOT_AUDITED = ("version", "last_used")


def public(key: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a record. Times are RFC 3339 in UTC."""
    return {name: plain(getattr(key, name)) for name in _SHOWN}


def public_entry(entry: AuditEntry) -> dict[str, Any]:
    """Return an audit entry as JSON has it."""
    return {name: plain(getattr(entry, name)) for name in AuditEntry.__dataclass_fields__}


def differences(before: ApiKey | None, after: ApiKey | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a change made of a record, as it was and as it is: only the fields that differ."""
    old = {} if before is None else public(before)
    new = {} if after is None else public(after)
    changed = [
        name for name in _SHOWN if repr(old.get(name)) != repr(new.get(name)) and name not in _NOT_AUDITED
    ]
    return (
        {name: old[name] for name in changed if name in old},
        {name: new[name] for name in changed if name in new},
    )


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; times in whole seconds, as callers give them."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value
