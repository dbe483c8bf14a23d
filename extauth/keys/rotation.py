"""What a rotation makes of a key: a successor with the same settings, and a grace for the old one. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from extauth.errors import InvalidInputError
from extauth.keys.asked import KeyPolicy
from extauth.model import ApiKey


def end_of_grace(old: ApiKey, now: datetime, grace: timedelta | None, policy: KeyPolicy) -> datetime:
    """Return when a key ends that is rotated now: never later than it would have.

    Raises InvalidInputError where it can't be rotated, or not with this grace.
    """
    if old.revoked_at is not None:
        raise InvalidInputError("a revoked key can't be rotated; make another")
    if not old.active:
        raise InvalidInputError("a disabled key can't be rotated; enable it first")
    if old.expires_at is not None and old.expires_at <= now:
        raise InvalidInputError("an expired key can't be rotated; make another")
    if old.rotated_to is not None:
        raise InvalidInputError(f"the key was rotated already, to {old.rotated_to}; rotate that one")
    if old.imported:
        raise InvalidInputError("a key of another system can't be rotated; make another")
    if grace is not None and not timedelta(0) <= grace <= policy.longest_grace:
        hours = policy.longest_grace / timedelta(hours=1)
        mistake = f"the grace may be from nothing to {hours:g} hours long (keys.longest_grace)"
        raise InvalidInputError.of([("grace", mistake)])
    end = now + (policy.default_grace if grace is None else grace)
    return end if old.expires_at is None else min(end, old.expires_at)


def successor(
    old: ApiKey, now: datetime, *, key_id: str, hashed_key: str, hint: str, pepper_id: str
) -> ApiKey:
    """Return the new key: the settings of the old one, and its end."""
    return ApiKey(
        key_id=key_id,
        hashed_key=hashed_key,
        hint=hint,
        user_id=old.user_id,
        name=old.name,
        tier=old.tier,
        scopes=old.scopes,
        environment=old.environment,
        created_at=now,
        expires_at=old.expires_at,
        rotated_from=old.key_id,
        limits=old.limits,
        metadata=old.metadata,
        pepper_id=pepper_id,
    )
