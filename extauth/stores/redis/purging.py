"""Forgets keys that were revoked long ago, each as a change of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

from extauth.clock import to_us
from extauth.stores.base import AuditEntry
from extauth.stores.redis import layout, places
from extauth.stores.redis.changes import Changes
from extauth.stores.redis.link import RedisLink
from extauth.stores.redis.places import Place

# How many keys are forgotten at the same time.
_AT_ONCE = 16


async def purge(
    link: RedisLink, changes: Changes, revoked_before: datetime, entry: AuditEntry, *, limit: int
) -> tuple[str, ...]:
    """Forget up to `limit` keys. See `KeyStore`."""
    bound = to_us(revoked_before)
    revoked = ("ZRANGE", layout.REVOKED, "-inf", f"({bound}", "BYSCORE", "LIMIT", 0, limit)
    (key_ids,) = await link.read(revoked)
    purged: list[str] = []
    for start in range(0, len(key_ids), _AT_ONCE):
        some = key_ids[start : start + _AT_ONCE]
        removals = (_remove(link, changes, key_id, bound, entry) for key_id in some)
        # All of them come to their end, so that none goes on behind the back of whoever is told of a fault.
        outcomes = await asyncio.gather(*removals, return_exceptions=True)
        for key_id, outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome:
                purged.append(key_id)
    return tuple(purged)


async def _remove(link: RedisLink, changes: Changes, key_id: str, bound: int, entry: AuditEntry) -> bool:
    names = ("version", "revoked_at", *places.FIELDS)
    (values,) = await link.read(("HMGET", layout.record(key_id), *names))
    fields = dict(zip(names, values, strict=True))
    place = Place.of_fields(fields)
    if fields["version"] is None or fields["revoked_at"] is None or int(fields["revoked_at"]) >= bound:
        # The index is behind the record.
        await changes.unlist(key_id, place)
        return False
    return await changes.remove(key_id, int(fields["version"]), place, replace(entry, key_id=key_id))
