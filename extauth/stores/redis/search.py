"""Finding keys and users in Redis by how they begin: one sorted set of words leads to all of them."""

from __future__ import annotations

import orjson

from extauth.stores.redis import layout, scripts
from extauth.stores.redis.fields import from_fields
from extauth.stores.redis.link import RedisLink
from extauth.stores.search import Found, folded


async def search_keys(link: RedisLink, beginning: str, limit: int) -> Found:
    """Return what is found. See `SearchableStore`."""
    words = [layout.WORDS]
    by_id, by_name, user_ids = await link.read(
        scripts.WORDS(words, layout.id_word(beginning), limit, 0),
        scripts.WORDS(words, layout.name_word(folded(beginning)), limit, 0),
        scripts.WORDS(words, layout.user_word(beginning), limit, 1),
    )
    key_ids = list(dict.fromkeys([*by_id, *by_name]))[:limit]
    records = (scripts.RECORD([layout.record(key_id)]) for key_id in key_ids)
    counts = (("ZCARD", layout.keys_of_user(user_id)) for user_id in user_ids)
    if not key_ids and not user_ids:
        return Found()
    answers = await link.read(*records, *counts)
    # A record that is gone is about to be taken out of the index too.
    keys = tuple(from_fields(orjson.loads(text)) for text in answers[: len(key_ids)] if text is not None)
    users = dict(zip(user_ids, map(int, answers[len(key_ids) :]), strict=True))
    return Found(keys=keys, users={user_id: number for user_id, number in users.items() if number})
