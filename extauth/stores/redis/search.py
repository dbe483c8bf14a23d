"""Finding keys and users in Redis by how they begin: one sorted set of words leads to all of them."""

from __future__ import annotations

import orjson

from extauth.stores.redis import layout, scripts
from extauth.stores.redis.changes import Changes
from extauth.stores.redis.fields import from_fields
from extauth.stores.redis.link import RedisLink
from extauth.stores.redis.places import NOWHERE, WORDS_OF_A_KEY
from extauth.stores.search import Found, folded

# How many keys are looked at in one trip: other servers' checks come in between.
_AT_ONCE = 200


async def complete_words(link: RedisLink, changes: Changes) -> int:
    """Index keys that have no words yet. See `SearchableStore`."""
    keys, words = await link.read(("ZCARD", layout.ALL_KEYS), ("ZCARD", layout.WORDS))
    if words >= keys * WORDS_OF_A_KEY:
        return 0
    completed, score, key_id = 0, "", ""
    while True:
        (flat,) = await link.read(scripts.PAGE([layout.ALL_KEYS], score, key_id, _AT_ONCE))
        if not flat:
            return completed
        key_ids = flat[::2]
        id_words = (layout.word(layout.id_word(key_id), key_id) for key_id in key_ids)
        (known,) = await link.read(("ZMSCORE", layout.WORDS, *id_words))
        lacking = [key_id for key_id, score in zip(key_ids, known, strict=True) if score is None]
        for one in lacking:
            # In the steps of a change: the key may be changed, or purged, at this moment.
            await changes.unlist(one, NOWHERE)
        completed += len(lacking)
        score, key_id = str(int(float(flat[-1]))), flat[-2]


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
