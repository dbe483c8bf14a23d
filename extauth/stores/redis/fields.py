"""What records, audit entries and claims look like in Redis: text, times in microseconds, mappings as JSON.

A field of a record that has its default is left out, so that a record takes no more memory than it must.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any

import orjson

from extauth.clock import from_us, to_us
from extauth.errors import StoreError
from extauth.model import ApiKey
from extauth.stores.base import AuditEntry

_MOMENTS = ("created_at", "expires_at", "last_used", "revoked_at", "rotated_at", "grace_until")
_MAPPINGS = ("limits", "metadata")
_FLAGS = ("active", "imported")
# Scripts look at these: they are always there.
_ALWAYS = ("version", "active")
_DEFAULTS: Mapping[str, object] = {
    field.name: field.default if field.default_factory is MISSING else field.default_factory()
    for field in fields(ApiKey)
    if field.init
}


def to_fields(key: ApiKey) -> list[str]:
    """Turn a record into names and values in turn, as Redis takes them."""
    flat: list[str] = []
    for name, default in _DEFAULTS.items():
        value = getattr(key, name)
        if value != default or name in _ALWAYS:
            flat += (name, _to_text(name, value))
    return flat


def from_fields(texts: Mapping[str, str]) -> ApiKey:
    """Turn the fields of a record into the record. Raises StoreError where they are none."""
    try:
        return ApiKey(**{name: _from_text(name, text) for name, text in texts.items()})  # type: ignore[arg-type]  # fields that are missing or too many are a TypeError
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"the record of key {texts.get('key_id', '?')} can't be read: {error}") from error


def from_flat(flat: Sequence[str]) -> dict[str, str]:
    """Pair names and values, as scripts return them."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def entry_values(entry: AuditEntry) -> dict[str, Any]:
    """Turn an audit entry into what JSON can hold, without its id."""
    return {
        "at": to_us(entry.at),
        "actor": entry.actor,
        "source": entry.source,
        "action": entry.action,
        "key_id": entry.key_id,
        "before": dict(entry.before),
        "after": dict(entry.after),
    }


def entry_from_json(text: str, entry_id: str) -> AuditEntry:
    """Turn JSON into an audit entry. Raises StoreError where it is none."""
    try:
        values = orjson.loads(text)
        return AuditEntry(**{**values, "at": from_us(values["at"]), "id": entry_id})
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise StoreError(f"audit entry {entry_id} can't be read: {error}") from error


def optional_us(moment: datetime | None) -> int | None:
    """Turn a time into microseconds; None stays."""
    return None if moment is None else to_us(moment)


def _to_text(name: str, value: object) -> str:
    if isinstance(value, datetime):
        return str(to_us(value))
    if name in _FLAGS:
        return str(int(bool(value)))
    if isinstance(value, tuple):
        return " ".join(value)
    return orjson.dumps(dict(value)).decode() if isinstance(value, Mapping) else str(value)


def _from_text(name: str, text: str) -> object:
    if name in _MOMENTS:
        return from_us(int(text))
    if name in _MAPPINGS:
        return orjson.loads(text)
    if name in _FLAGS:
        return text == "1"
    if name == "scopes":
        return tuple(text.split())
    return int(text) if name == "version" else text
