"""How things stand, gathered for pages: of one key, of one user, and of everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from extauth.admin.endpoint import Services
from extauth.clock import from_us
from extauth.keys.views import public
from extauth.model import ApiKey
from extauth.stores.base import LOOKED_AT_ONCE, KeyFilter
from extauth.stores.usage import MINUTE
from extauth.usage.question import By, UsageQuestion

_HOUR = timedelta(hours=1)
# Who sends most is told for these times: who began a moment ago is hidden by the hour of others.
_TALKERS_OVER = {"5m": timedelta(minutes=5), "1h": _HOUR}
# How many keys one page shows with their limits, and how many refusals of all of them together.
_MOST_KEYS = 12
_MOST_REFUSALS = 20


class KeyViews:
    """Shows keys with all that belongs to them. `services` are those of the settings in force."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def of_key(self, key_id: str) -> Mapping[str, Any]:
        """Return how a key stands. Raises NotFoundError and StoreError."""
        limits, hour, refusals = await asyncio.gather(
            self.services.limits.look(key_id),
            self.last_hour(key_id=key_id),
            self.services.usage.refusals(key_id),
        )
        return {"limits": limits.plain(), "hour": hour, "refusals": list(refusals)}

    async def of_user(self, user_id: str) -> Mapping[str, Any]:
        """Return how the keys of a user stand, those used last first. Raises StoreError.

        Those that have ended are left out. Disabled ones aren't: somebody wonders why they are refused.
        """
        page = await self.services.service.list(KeyFilter(user_id=user_id), limit=LOOKED_AT_ONCE)
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
            {"record": public(key), "limits": without_shadow(standing.plain())}
            for key, standing in zip(shown, limits, strict=True)
        ]
        return {"keys": keys, "more": len(living) - len(shown), "hour": hour, "refusals": refusals}

    async def last_hour(self, **whose: Any) -> Mapping[str, Any]:
        """Return the usage of the last hour by the minute, as a question narrows it. Raises StoreError."""
        return await self._lately(_HOUR, **whose)

    async def talkers(self, most: int) -> Mapping[str, Any]:
        """Return who sent most in the last `5m` and in the last `1h`. Raises StoreError."""
        found = await asyncio.gather(*(self.busiest(most, over) for over in _TALKERS_OVER.values()))
        return dict(zip(_TALKERS_OVER, found, strict=True))

    async def busiest(self, most: int, over: timedelta = _HOUR) -> Mapping[str, Any]:
        """Return how much the busiest keys asked, and whose they are. Raises StoreError.

        What a group has that is no key, or none any more, is null.
        """
        report = await self._lately(over, by=By.KEY, limit=most)
        groups = [series["group"] for series in report["series"]]
        keys = await asyncio.gather(*map(self.services.service.find, groups))
        series = [
            {"group": one["group"], "total": one["total"], **_owner(key)}
            for one, key in zip(report["series"], keys, strict=True)
        ]
        return {**report, "series": series}

    async def _lately(self, over: timedelta, **whose: Any) -> Mapping[str, Any]:
        question = UsageQuestion(since=self._now() - over, step=MINUTE.name, **whose)
        return (await self.services.usage.report(question)).plain()

    async def _refusals(self, keys: Sequence[ApiKey]) -> list[dict[str, Any]]:
        found = await asyncio.gather(*(self.services.usage.refusals(key.key_id) for key in keys))
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


def _owner(key: ApiKey | None) -> dict[str, str | None]:
    return {"user_id": None if key is None else key.user_id, "name": None if key is None else key.name}


def without_shadow(standing: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how limits stand without those in shadow: they refuse nobody, and are for operators."""
    return {**standing, "limits": [limit for limit in standing["limits"] if not limit["shadow"]]}
