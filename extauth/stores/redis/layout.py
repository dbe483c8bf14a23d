"""The names of everything that is kept in Redis: the one place that knows them.

What stands in braces decides the slot in a cluster. All of one API key is in one slot, so that a script can
read and change it in one step; so is all of one user, all indexes over keys, and the journal.
"""

from __future__ import annotations

import hashlib

from redis.crc import key_slot

# Indexes over all keys, sorted sets of key ids: by created_at, by expires_at and by revoked_at where set.
ALL_KEYS = "extauth:{keys}:all"
EXPIRING = "extauth:{keys}:expiring"
REVOKED = "extauth:{keys}:revoked"
# The sorted set of the words by which people look for keys: see `word`.
WORDS = "extauth:{keys}:words"
# The number of the last entry of the audit log up to which no key lacks words.
WORDS_UNTIL = "extauth:{keys}:words-until"
# The set of all pepper ids that a key ever needed.
PEPPERS = "extauth:{keys}:peppers"

# The changes under way, a sorted set by when they began.
UNDER_WAY = "extauth:{journal}:under-way"
# The audit log: a stream of entries by their number, a sorted set of numbers by time, and the last number.
AUDIT_ENTRIES = "extauth:{journal}:audit"
AUDIT_TIMES = "extauth:{journal}:audit-times"
AUDIT_LAST = "extauth:{journal}:audit-last"

# Bans, a hash by subject; the sorted set of subjects by when their bans end; and a text that each change of
# them makes another.
BANS = "extauth:{journal}:bans"
BAN_ENDS = "extauth:{journal}:ban-ends"
BAN_REVISION = "extauth:{journal}:ban-revision"
# A hash of who fails most, by process.
OFFENDERS = "extauth:{journal}:offenders"
# What the names of all usage begin with: one script adds to the minute, the hour and the day of many keys.
USAGE = "extauth:{usage}:"
# A hash of the processes whose journals of usage have pages, each with the number of what it wrote last.
USAGE_JOURNALS = "extauth:{usage}:journals"
_LONGEST_IN_A_WORD = 64

# A brace in a name would end the part that decides the slot.
_ESCAPES = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


def slot_of(name: str) -> int:
    """Return the slot of a cluster that has what is named so."""
    slot: int = key_slot(name.encode())
    return slot


def record(key_id: str) -> str:
    """Name the hash with a key's record."""
    return f"extauth:{{{_escaped(key_id)}}}:record"


def outbox(key_id: str) -> str:
    """Name the list of what follows from changes of a record and is not done yet."""
    return f"extauth:{{{_escaped(key_id)}}}:outbox"


def grace(key_id: str) -> str:
    """Name the hash with the calls of a rotated key, by client address."""
    return f"extauth:{{{_escaped(key_id)}}}:grace"


def keys_of_user(user_id: str) -> str:
    """Name the sorted set of a user's keys, by created_at."""
    return f"extauth:{{user:{_escaped(user_id)}}}:keys"


def unrevoked_of_user(user_id: str) -> str:
    """Name the set of a user's keys that are not revoked."""
    return f"extauth:{{user:{_escaped(user_id)}}}:unrevoked"


def keys_of_tier(tier: str) -> str:
    """Name the sorted set of a tier's keys, by created_at."""
    return f"extauth:{{keys}}:tier:{tier}"


def keys_of_pepper(pepper_id: str) -> str:
    """Name the set of the keys that are not revoked and need a pepper."""
    return f"extauth:{{keys}}:pepper:{pepper_id}"


def id_word(key_id: str) -> str:
    """Return how the word for a key id begins."""
    return f"i:{key_id}"


def name_word(name: str) -> str:
    """Return how the word for a name begins, folded as `stores.search` does."""
    return f"n:{name}"


def user_word(user_id: str) -> str:
    """Return how the word for a user id begins."""
    return f"u:{user_id}"


def word(beginning: str, key_id: str) -> str:
    """Return a word of a key: what it can be found by, and behind a NUL, which none of that holds, its id."""
    return f"{beginning}\0{key_id}"


def audit_of_key(key_id: str) -> str:
    """Name the sorted set of the changes of a key, by the numbers of their audit entries."""
    return f"extauth:{{journal}}:audit-of:{key_id}"


def limits_of(subject: str) -> str:
    """Name the string with what was spent of the limits of a subject of `limits.plan`: see `take.lua`.

    Those of a key are in the slot of its record.
    """
    whose = subject.removeprefix("key:")
    return f"extauth:{{{_escaped(whose)}}}:limits"


def slots_of(subject: str, field: str) -> str:
    """Name the keys, up to their endings, with the requests in flight of a limit: see `slots.lua`.

    Proxies carry them in a word: what is long or can't stand in one has a name of its own.
    """
    whose = subject.removeprefix("key:")
    return f"extauth:{{{_fit_for_a_word(_escaped(whose))}}}:slots:{_fit_for_a_word(_escaped(field))}"


def leases_of(request_id: str) -> str:
    """Name the set of the leases that a request holds, as proxies report them."""
    return f"extauth:{{request:{_escaped(request_id)}}}:leases"


def claim(name: str) -> str:
    """Name the hash with who claimed a name."""
    return f"extauth:{{claim:{_escaped(name)}}}"


def shadowed(day: str) -> str:
    """Name the hash with what limits in shadow would have refused on a day, by place: see `shadowed.lua`."""
    return f"extauth:{{shadowed}}:{day}"


def usage_written(process: str) -> str:
    """Name the string with the number of what a process wrote last of usage."""
    return f"{USAGE}written:{process}"


def usage_journal(process: str) -> str:
    """Name the hash with the pages of a process's journal of usage."""
    return f"{USAGE}journal:{process}"


def usage_of(step: str, kind: str, period: int, name: str) -> str:
    """Name the hash with what a key or a user used in a period: see `usage.lua`."""
    return f"{USAGE}{step}:{kind}:{period}:{name}"


def usage_places(step: str, kind: str, period: int) -> str:
    """Name the sorted set of the places that a period tells apart, by their requests."""
    return f"{USAGE}{step}:places:{kind}:{period}"


def usage_refusals(key_id: str) -> str:
    """Name the list of the latest refusals of a key, the newest first."""
    return f"{USAGE}refusals:{key_id}"


def _fit_for_a_word(text: str) -> str:
    if len(text) <= _LONGEST_IN_A_WORD and text.isascii() and text.isprintable() and " " not in text:
        return text
    return "#" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _escaped(text: str) -> str:
    # Hardly any text has one of them, and looking for them takes a fraction of the time.
    return text.translate(_ESCAPES) if "{" in text or "}" in text or "%" in text else text
