"""From a key to the limits that its requests take, and the names of their buckets.

Worked out once when a key is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from extauth.model import ApiKey, Limit, LimitSet


class Take(NamedTuple):
    """One bucket to take from, and the limit that rules it."""

    bucket: str
    limit: Limit


class UnknownTierError(LookupError):
    """A key names a tier that the configuration no longer has; nobody can say what its limits are."""


class Planner:
    """Knows the tiers."""

    def __init__(self, tiers: Mapping[str, tuple[Limit, ...]]) -> None:
        self._tiers = {name: LimitSet(limits) for name, limits in tiers.items()}

    def limits_of(self, key: ApiKey) -> LimitSet:
        """Return the limits of the key's tier. Raises UnknownTierError."""
        try:
            return self._tiers[key.tier]
        except KeyError as error:
            raise UnknownTierError(f"tier {key.tier!r} is not configured") from error


def takes_for(key: ApiKey, limit_set: LimitSet) -> tuple[Take, ...]:
    """Return what each request of the key takes."""
    return tuple(Take(bucket_name(key.key_id, limit), limit) for limit in limit_set.limits)


def bucket_name(key_id: str, limit: Limit) -> str:
    """Return a name that stays the same when the configuration changes, so that counts survive it."""
    return f"key:{key_id}:{limit.name}"
