"""Counts of what limits in shadow would have refused, in a hash for each day.

Places are JSON lists there: names may hold whatever characters operators like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta

import orjson

from extauth.errors import StoreError
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.link import RedisLink
from extauth.stores.shadowed import BOUNDS, KEPT_DAYS, Place, ShadowedCount, oldest_kept

# How many counts one call of the script adds up.
_AT_ONCE = 200
# A day's counts are added to for a day, and kept as long as those of the days after it.
_KEPT_SECONDS = (KEPT_DAYS + 1) * 86_400


async def add_shadowed(link: RedisLink, counts: Sequence[ShadowedCount]) -> None:
    """Add counts up. See `ShadowedStore`."""
    by_day: defaultdict[date, list[ShadowedCount]] = defaultdict(list)
    for count in counts:
        by_day[count.day].append(count)
    for day, of_day in by_day.items():
        for start in range(0, len(of_day), _AT_ONCE):
            arguments = [part for count in of_day[start : start + _AT_ONCE] for part in _arguments(count)]
            key = layout.shadowed(day.isoformat())
            await link.write(scripts.SHADOWED([key], _KEPT_SECONDS, *BOUNDS[:2], *arguments))


async def read_shadowed(link: RedisLink, since: date, until: date) -> list[ShadowedCount]:
    """Return the counts of these days. See `ShadowedStore`."""
    first = max(since, oldest_kept(until))
    days = [first + timedelta(days=number) for number in range((until - first).days + 1)]
    if not days:
        return []
    replies = await link.read(*(("HGETALL", layout.shadowed(day.isoformat())) for day in days))
    return [
        ShadowedCount(day=day, place=_place(text), requests=int(requests))
        for day, fields in zip(days, replies, strict=True)
        for text, requests in fields.items()
    ]


def _arguments(count: ShadowedCount) -> tuple[str | int, ...]:
    return (*(orjson.dumps(list(place)).decode() for place in count.place.widening()), count.requests)


def _place(text: str) -> Place:
    try:
        return Place(*orjson.loads(text))
    except (TypeError, ValueError) as error:
        raise StoreError(f"a count of what would have been refused can't be read: {error}") from error
