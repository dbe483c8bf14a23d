"""What a request makes of a key: its first record, and when it ends. Pure."""

from __future__ import annotations

from datetime import datetime

from extauth.errors import InvalidInputError
from extauth.keys.asked import KeyPolicy, NewKey
from extauth.keys.token import KeyText
from extauth.model import ApiKey


def end_of(new: NewKey, now: datetime, policy: KeyPolicy) -> datetime | None:
    """Return when a key ends that is made now; None: never. Raises InvalidInputError."""
    lifetime = policy.default_lifetime if new.ends_by is None else new.lifetime
    if lifetime is None:
        return new.expires_at
    try:
        return now + lifetime
    except OverflowError as error:
        raise InvalidInputError.of([("lifetime", "the lifetime ends beyond the calendar")]) from error


def first_record(
    new: NewKey,
    parts: KeyText,
    *,
    now: datetime,
    end: datetime | None,
    hint: str,
    pepper_id: str,
    imported: bool = False,
) -> ApiKey:
    """Return the record of a new key, but for its hash."""
    return ApiKey(
        key_id=parts.key_id,
        hashed_key="",
        hint=hint,
        user_id=new.user_id,
        name=new.name,
        tier=new.tier,
        scopes=tuple(dict.fromkeys(new.scopes)),
        environment=new.environment,
        created_at=now,
        expires_at=end,
        limits=dict(new.limits),
        metadata=dict(new.metadata),
        pepper_id=pepper_id,
        imported=imported,
    )
