"""How things stand, gathered for pages: of one key, of one user, and of everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from extauth.admin.endpoint import Services
from extauth.clock import from_us
from extauth.dashboard.usage import UsageAsked, UsageReports
from extauth.keys.views import public
from extauth.model import ApiKey
from extauth.stores.base import KeyFilter

_HOUR = timedelta(hours=1)
# How many keys one page shows with their limits, and how many refusals of all of them together.
_MOST_KEYS = 12
_MOST_REFUSALS = 20


class KeyViews:
    """Shows keys with all that belongs to them. `services` are those of the settings in force."""

    def __init__(self, services: Services, usage: UsageReports) -> None:
        self.services = services
        self._usage = usage

    async def of_key(self, key_id: str) -> Mapping[str, Any]:
        """Return how a key stands. Raises NotFoundError and StoreError."""
        limits, hour, refusals = await asyncio.gather(
            self.services.limits.look(key_id), self.last_hour(key_id=key_id), self._usage.refusals(key_id)
        )
        return {"limits": limits.plain(), "hour": hour, "refusals": list(refusals)}

    async def of_user(self, user_id: str) -> Mapping[str, Any]:
        """Return how the keys of a user stand that are good, those used last first. Raises StoreError."""
        page = await self.services.service.list(KeyFilter(user_id=user_id, active=True))
        now = self._now()
        living = [key for key in page.keys if not _has_ended(key, now)]
        living.sort(key=lambda key: key.last_used or key.created_at, reverse=True)
        shown = living[:_MOST_KEYS]
        limits, hour, refusals = await asyncio.gather(
            asyncio.gather(*(self.services.limits.look(key.key_id) for key in shown)),
            self.last_hour(user_id=user_id),
            self._refusals(shown),
        )
        keys = [
            {"record": public(key), "limits": standing.plain()}
            for key, standing in zip(shown, limits, strict=True)
        ]
        return {"keys": keys, "more": len(living) - len(shown), "hour": hour, "refusals": refusals}

    async def last_hour(self, *, key_id: str | None = None, user_id: str | None = None) -> Mapping[str, Any]:
        """Return the usage of the last hour by the minute. Raises StoreError."""
        until = self._now()
        asked = UsageAsked(since=until - _HOUR, until=until, step="1m", key_id=key_id, user_id=user_id)
        return await self._usage.report(asked)

    async def talkers(self, most: int) -> Mapping[str, Any]:
        """Return the usage of the busiest keys in the last hour. Raises StoreError."""
        until = self._now()
        return await self._usage.report(
            UsageAsked(since=until - _HOUR, until=until, step="1m", by="key", limit=most)
        )

    async def _refusals(self, keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
        found = await asyncio.gather(*(self._usage.refusals(key.key_id) for key in keys))
        latest = [
            {**refusal, "key_id": key.key_id}
            for key, refusals in zip(keys, found, strict=True)
            for refusal in refusals
        ]
        return sorted(latest, key=lambda refusal: str(refusal["at"]), reverse=True)[:_MOST_REFUSALS]

    def _now(self) -> datetime:
        return from_us(self.services.clock.now_us())


def _has_ended(key: ApiKey, now: datetime) -> bool:
    ends = [end for end in (key.expires_at, key.grace_until) if end is not None]
    return key.revoked_at is not None or any(end <= now for end in ends)
