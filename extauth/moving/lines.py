"""One record as one line of JSON, exact to the microsecond, and back: what an export consists of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from extauth.clock import from_us
from extauth.keys.rules import identity_mistakes, reason_mistakes, refuse
from extauth.keys.scopes import is_scope
from extauth.keys.token import KEY_ID_LENGTH
from extauth.model import RECORD_FIELDS, ApiKey
from extauth.moving.fields import Fields, format_time
from extauth.settings import grammar
from extauth.settings.routing import parse_own_limits

_KEY_ID = re.compile(rf"[0-9A-Za-z]{{{KEY_ID_LENGTH}}}")
_ARGON2ID = re.compile(r"\$argon2id\$v=[0-9]+\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_PEPPER_ID = re.compile(r"[0-9a-f]{8}|")
_LONGEST_HINT = 64


def to_line(key: ApiKey, *, with_hash: bool) -> dict[str, Any]:
    """Return a record as the object of its line; the hash only where it is asked for."""
    names = [name for name in RECORD_FIELDS if with_hash or name != "hashed_key"]
    return {name: _exact(getattr(key, name)) for name in names}


def from_line(given: Mapping[str, Any]) -> ApiKey:
    """Return the record of a line with its hash. Raises InvalidInputError that names every mistake."""
    fields = Fields(given)
    key_id = fields.text("key_id")
    if "hashed_key" in given:
        hashed_key = fields.text("hashed_key")
    else:
        hashed_key = ""
        fields.mistakes.append(("hashed_key", "is missing: only an export made with hashes can be read back"))
    created_at = fields.moment("created_at")
    record = ApiKey(
        key_id=key_id,
        hashed_key=hashed_key,
        hint=fields.text("hint"),
        user_id=fields.text("user_id"),
        name=fields.text("name"),
        tier=fields.text("tier"),
        scopes=fields.texts("scopes"),
        environment=fields.text("environment"),
        # A time that can't be read is a mistake, which is told before anybody uses the record.
        created_at=created_at or from_us(0),
        active=fields.flag("active"),
        expires_at=fields.optional_moment("expires_at"),
        last_used=fields.optional_moment("last_used"),
        revoked_at=fields.optional_moment("revoked_at"),
        revoked_reason=fields.text("revoked_reason", ""),
        rotated_from=fields.optional_text("rotated_from"),
        rotated_to=fields.optional_text("rotated_to"),
        rotated_at=fields.optional_moment("rotated_at"),
        grace_until=fields.optional_moment("grace_until"),
        limits=fields.mapping("limits", {}),
        metadata=fields.mapping("metadata", {}),
        pepper_id=fields.text("pepper_id", ""),
        imported=fields.flag("imported"),
        version=fields.number("version"),
    )
    refuse(_mistakes(record), fields.misread())
    return record


def _mistakes(key: ApiKey) -> Iterator[tuple[str, str]]:
    """Find what no store may hold, because servers trust it: ids and scopes travel in headers, for one."""
    for name in ("key_id", "rotated_from", "rotated_to"):
        key_id = getattr(key, name)
        if key_id is not None and _KEY_ID.fullmatch(key_id) is None:
            yield name, f"must have {KEY_ID_LENGTH} letters and digits"
    if _ARGON2ID.fullmatch(key.hashed_key) is None:
        yield "hashed_key", "must be an argon2id hash"
    if _PEPPER_ID.fullmatch(key.pepper_id) is None:
        yield "pepper_id", "must have 8 hexadecimal digits"
    if len(key.hint) > _LONGEST_HINT or not key.hint.isprintable():
        yield "hint", f"may have {_LONGEST_HINT} printable characters at most"
    yield from identity_mistakes(key)
    for scope in key.scopes:
        if not is_scope(scope):
            yield "scopes", f"{scope!r} is not a scope"
    yield from _as_mistake("tier", lambda: grammar.check_tier_name(key.tier))
    yield from _as_mistake("environment", lambda: grammar.check_label(key.environment))
    yield from reason_mistakes(key.revoked_reason, "revoked_reason")
    if key.limits:
        yield from _as_mistake("limits", lambda: parse_own_limits(key.limits))


def _as_mistake(name: str, check: Callable[[], object]) -> Iterator[tuple[str, str]]:
    try:
        check()
    except ValueError as error:
        yield name, str(error)


def without_use(key: ApiKey) -> dict[str, Any]:
    """Return what makes two copies of a record the same: all but when the key was used last."""
    line = to_line(key, with_hash=True)
    del line["last_used"]
    return line


def _exact(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return {name: _exact(item) for name, item in value.items()}
    return [_exact(item) for item in value] if isinstance(value, tuple | list) else value
