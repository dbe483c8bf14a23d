"""From a key to the limits that its requests take, and the names of their buckets.

Worked out once when a key is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from extauth.model import ApiKey, Limit, LimitSet


class Take(NamedTuple):
    """One bucket to take from, and the limit that rules it."""

    bucket: str
    limit: Limit


class UnknownLimitsError(LookupError):
    """Nobody can say what a key's limits are: its tier is gone, or its own can't be read."""


class Planner:
    """Knows the tiers. `parse_own` reads the limits that a key has of its own, and raises ValueError."""

    def __init__(
        self,
        tiers: Mapping[str, tuple[Limit, ...]],
        *,
        parse_own: Callable[[Mapping[str, object]], tuple[Limit, ...]],
    ) -> None:
        self._tiers = {name: LimitSet(limits) for name, limits in tiers.items()}
        self._parse_own = parse_own

    def limits_of(self, key: ApiKey) -> LimitSet:
        """Return the key's own limits, else those of its tier. Raises UnknownLimitsError."""
        if key.limits:
            try:
                return LimitSet(self._parse_own(key.limits))
            except ValueError as error:
                raise UnknownLimitsError(f"the key's own limits can't be read: {error}") from error
        try:
            return self._tiers[key.tier]
        except KeyError as error:
            raise UnknownLimitsError(f"tier {key.tier!r} is not configured") from error


def takes_for(key: ApiKey, limit_set: LimitSet) -> tuple[Take, ...]:
    """Return what each request of the key takes."""
    return tuple(Take(bucket_name(key.key_id, limit), limit) for limit in limit_set.limits)


def bucket_name(key_id: str, limit: Limit) -> str:
    """Return a name that stays the same when the configuration changes, so that counts survive it."""
    return f"key:{key_id}:{limit.name}"
