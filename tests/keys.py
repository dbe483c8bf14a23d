"""Keys and records for tests, made as the service makes them."""

from __future__ import annotations

from typing import Any

from extauth.keys.hashing import HashingParameters
from extauth.keys.token import KeyText, Peppers, hint, mint_key
from extauth.model import ApiKey, Identified
from extauth.stores.base import AuditEntry
from tests.fakes import START

PEPPER = "a pepper of the tests, which is long enough"
PEPPERS = Peppers([PEPPER])
# argon2 at its cheapest: these tests are about when it runs, not about how hard it is.
CHEAP = HashingParameters(memory_kib=8, time_cost=1)


def mint(peppers: Peppers = PEPPERS) -> tuple[str, KeyText]:
    """Make a key's text and its parts."""
    return mint_key(prefix="xa", environment="live", secret_length=43, peppers=peppers)


def record(key_id: str = "AAAAbbbb0001", **changes: Any) -> ApiKey:
    """Make a key record that is fine in all but the changes."""
    fields: dict[str, Any] = {
        "key_id": key_id,
        "hashed_key": "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "hint": f"xa_live_{key_id}_…wxyz",
        "user_id": "user-1",
        "name": "the tests' key",
        "tier": "default",
        "scopes": (),
        "environment": "live",
        "created_at": START,
    }
    return ApiKey(**{**fields, **changes})


def identified(key_id: str = "AAAAbbbb0001", **changes: Any) -> Identified:
    """Make who is recognised by such a key."""
    return Identified(record(key_id, **changes))


def entry(key_id: str = "AAAAbbbb0001", **changes: Any) -> AuditEntry:
    """Make an audit entry for a change whose audit a test is not about."""
    fields: dict[str, Any] = {
        "at": START,
        "actor": "tests",
        "source": "here",
        "action": "key.created",
        "key_id": key_id,
    }
    return AuditEntry(**{**fields, **changes})


def rotated(old: str = "AAAAbbbb0001", new: str = "AAAAbbbb0002") -> tuple[AuditEntry, AuditEntry]:
    """Make the audit entries of a rotation."""
    return entry(old, action="key.rotated"), entry(new, after={"rotated_from": old})


def record_for(text: str, parts: KeyText, **changes: Any) -> ApiKey:
    """Make the record of a minted key, with a hash that is none: for tests in which argon2 must not run."""
    return record(parts.key_id, hint=hint(text), **changes)


def traces_of(secret: str, text: str, *, longest: int = 7) -> list[str]:
    """Return the pieces of the secret, longer than that, which are found in the text."""
    pieces = {secret[start : start + longest + 1] for start in range(len(secret) - longest)}
    return [piece for piece in pieces if piece in text]
