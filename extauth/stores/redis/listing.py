"""Pages of keys, oldest first: an index leads to ids, and the records are read in trips of bounded size."""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import orjson

from extauth.clock import to_us
from extauth.errors import InvalidInputError, StoreError
from extauth.model import ApiKey
from extauth.stores.base import LOOKED_AT_ONCE, KeyFilter, KeyPage
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.changes import Changes
from extauth.stores.redis.fields import from_fields
from extauth.stores.redis.link import RedisLink
from extauth.stores.redis.places import Place

# created_at and id of the last key that was looked at.
_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9A-Za-z]+)")
# How many records are read in one trip.
_AT_ONCE = 200
# How many ids without a record are taken off the indexes for one page.
_MOST_UNLISTED = 20

_At: TypeAlias = tuple[float, str]
# Gives the places of keys behind one, at most so many.
_Source: TypeAlias = Callable[[_At | None, int], Awaitable[Sequence[_At]]]


async def count_by_pepper(link: RedisLink) -> Mapping[str, int]:
    """Return how many keys that are not revoked need which pepper. Raises StoreError."""
    (pepper_ids,) = await link.read(("SMEMBERS", layout.PEPPERS))
    if not pepper_ids:
        return {}
    ordered = sorted(pepper_ids)
    counts = await link.read(*(("SCARD", layout.keys_of_pepper(one)) for one in ordered))
    return {pepper_id: count for pepper_id, count in zip(ordered, counts, strict=True) if count}


class KeyLists:
    """Lists keys."""

    def __init__(self, link: RedisLink, changes: Changes) -> None:
        self._link = link
        self._changes = changes

    async def page(self, wanted: KeyFilter, *, cursor: str | None, limit: int) -> KeyPage:
        """Return a page. See `KeyStore`."""
        at = _parse_cursor(cursor)
        source = await self._source(wanted)
        # If an index leads only to keys that fit, one more than the page holds shows whether there are more.
        step = min(limit + 1, _AT_ONCE)
        found: list[ApiKey] = []
        gone: list[str] = []
        looked = 0
        while looked < LOOKED_AT_ONCE:
            step = min(step, LOOKED_AT_ONCE - looked)
            places = await source(at, step)
            for (score, key_id), key in zip(places, await self._records(places), strict=True):
                if key is None:
                    gone.append(key_id)
                elif wanted.fits(key):
                    if len(found) == limit:
                        return await self._page(found, _cursor_of(at), gone, wanted)
                    found.append(key)
                at = (score, key_id)
            looked += len(places)
            if len(places) < step:
                return await self._page(found, None, gone, wanted)
            step = _AT_ONCE
        return await self._page(found, _cursor_of(at), gone, wanted)

    async def _page(
        self, found: Sequence[ApiKey], cursor: str | None, gone: Sequence[str], wanted: KeyFilter
    ) -> KeyPage:
        for key_id in gone[:_MOST_UNLISTED]:
            # Whoever lists is not to blame for a fault here; the next list tries again.
            with contextlib.suppress(StoreError):
                await self._changes.unlist(key_id, Place(wanted.user_id or "", wanted.tier or "", ""))
        return KeyPage(tuple(found), cursor)

    async def _records(self, places: Sequence[_At]) -> Sequence[ApiKey | None]:
        if not places:
            return []
        texts = await self._link.read(*(scripts.RECORD([layout.record(key_id)]) for _, key_id in places))
        return [None if text is None else from_fields(orjson.loads(text)) for text in texts]

    async def _source(self, wanted: KeyFilter) -> _Source:
        """Choose the index that leads to the fewest keys."""
        if wanted.user_id is not None:
            return self._of_index(layout.keys_of_user(wanted.user_id))
        if wanted.expires_before is not None:
            # A score holds 53 bits: it may be rounded up to the bound, so each key is looked at all the same.
            until = to_us(wanted.expires_before)
            (number,) = await self._link.read(("ZCOUNT", layout.EXPIRING, "-inf", until))
            if number < LOOKED_AT_ONCE:
                return self._of_places(await self._expiring(until))
        if wanted.tier is not None:
            return self._of_index(layout.keys_of_tier(wanted.tier))
        return self._of_index(layout.ALL_KEYS)

    async def _expiring(self, until: int) -> Sequence[_At]:
        ids = ("ZRANGE", layout.EXPIRING, "-inf", until, "BYSCORE", "LIMIT", 0, LOOKED_AT_ONCE)
        (key_ids,) = await self._link.read(ids)
        if not key_ids:
            return []
        (scores,) = await self._link.read(("ZMSCORE", layout.ALL_KEYS, *key_ids))
        pairs = zip(scores, key_ids, strict=True)
        return sorted((float(score), key_id) for score, key_id in pairs if score is not None)

    def _of_index(self, index: str) -> _Source:
        async def source(behind: _At | None, most: int) -> Sequence[_At]:
            score, key_id = ("", "") if behind is None else (int(behind[0]), behind[1])
            (flat,) = await self._link.read(scripts.PAGE([index], score, key_id, most))
            return [(float(score), key_id) for key_id, score in zip(flat[::2], flat[1::2], strict=True)]

        return source

    @staticmethod
    def _of_places(places: Sequence[_At]) -> _Source:
        async def source(behind: _At | None, most: int) -> Sequence[_At]:
            start = 0 if behind is None else bisect_right(places, behind)
            return places[start : start + most]

        return source


def _cursor_of(at: _At | None) -> str | None:
    return None if at is None else f"{int(at[0])}.{at[1]}"


def _parse_cursor(cursor: str | None) -> _At | None:
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInputError.of([("cursor", "the cursor is not one that a list handed out")])
    return float(match[1]), match[2]
