"""Finding keys and users in Redis by how they begin: one sorted set of words leads to all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import orjson

from extauth.stores.redis import layout, scripts
from extauth.stores.redis.changes import Changes
from extauth.stores.redis.fields import from_fields
from extauth.stores.redis.link import RedisLink
from extauth.stores.redis.places import NOWHERE, words_of
from extauth.stores.search import Found, folded

# How many keys are looked at in one trip: other servers' checks come in between.
_AT_ONCE = 200


async def complete_words(link: RedisLink, changes: Changes) -> int:
    """Index keys that lack words. See `SearchableStore`.

    A server of an earlier version changes keys without their words, now or after a downgrade. But it writes
    each change into the audit log, behind the number up to which somebody has looked already.
    """
    until, last = await link.read(("GET", layout.WORDS_UNTIL), ("GET", layout.AUDIT_LAST))
    last = last or "0"
    if until == last:
        return 0
    completed = 0
    async for key_ids in _all(link) if until is None else _changed(link, int(until), int(last)):
        lacking = await _lacking(link, key_ids)
        for one in lacking:
            # In the steps of a change: the key may be changed, or purged, at this moment.
            await changes.unlist(one, NOWHERE)
        completed += len(lacking)
    await link.write(("SET", layout.WORDS_UNTIL, last))
    return completed


async def _all(link: RedisLink) -> AsyncIterator[Sequence[str]]:
    score, key_id = "", ""
    while True:
        (flat,) = await link.read(scripts.PAGE([layout.ALL_KEYS], score, key_id, _AT_ONCE))
        if not flat:
            return
        yield flat[::2]
        score, key_id = str(int(float(flat[-1]))), flat[-2]


async def _changed(link: RedisLink, until: int, last: int) -> AsyncIterator[Sequence[str]]:
    """Give the keys that the audit log has behind one number up to another; all where it is not complete."""
    at = until
    while at < last:
        command = ("XRANGE", layout.AUDIT_ENTRIES, f"{at + 1}-0", f"{last}-0", "COUNT", _AT_ONCE)
        (rows,) = await link.read(command)
        numbers = [int(number.partition("-")[0]) for number, _ in rows]
        if not rows or numbers != [*range(at + 1, at + 1 + len(rows))]:
            break
        changed = dict.fromkeys(orjson.loads(fields["entry"])["key_id"] for _, fields in rows)
        # Those of bans have none.
        yield [key_id for key_id in changed if key_id]
        at = numbers[-1]
    if at != last:
        # Entries were trimmed meanwhile, or Redis lost some.
        async for key_ids in _all(link):
            yield key_ids


async def _lacking(link: RedisLink, key_ids: Sequence[str]) -> list[str]:
    """Return those of which there is a record, but not all words."""
    if not key_ids:
        return []
    texts = await link.read(*(scripts.RECORD([layout.record(key_id)]) for key_id in key_ids))
    words = [
        (key_id, word)
        for key_id, text in zip(key_ids, texts, strict=True)
        if text is not None
        for word in words_of(from_fields(orjson.loads(text)))
    ]
    if not words:
        return []
    (scores,) = await link.read(("ZMSCORE", layout.WORDS, *(word for _, word in words)))
    missing = (key_id for (key_id, _), score in zip(words, scores, strict=True) if score is None)
    return list(dict.fromkeys(missing))


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
