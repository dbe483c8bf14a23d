"""Where the indexes list a key, and the commands that make them agree with its record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from extauth.clock import to_us
from extauth.model import ApiKey
from extauth.stores.redis import layout
from extauth.stores.redis.fields import optional_us
from extauth.stores.redis.scripts import Command
from extauth.stores.search import folded

# The fields of a record that decide where it is listed.
FIELDS = ("user_id", "tier", "pepper_id", "name")


@dataclass(frozen=True, slots=True)
class Place:
    """Under which user, tier, pepper and name a key is listed."""

    user_id: str
    tier: str
    pepper_id: str
    # The journal of an earlier version has none.
    name: str = ""

    @classmethod
    def of(cls, key: ApiKey) -> Place:
        """Return where a record belongs."""
        return cls(key.user_id, key.tier, key.pepper_id, key.name)

    @classmethod
    def of_fields(cls, fields: Mapping[str, str | None]) -> Place:
        """Return where a record belongs of which only some fields were read."""
        return cls(*(fields.get(name) or "" for name in FIELDS))


# Of a key that may not be listed yet.
NOWHERE = Place("", "", "")


def decisive(key: ApiKey | None) -> list[str]:
    """Return what decides where a record is listed, as `settle.lua` compares it."""
    if key is None:
        return [""] * (len(FIELDS) + 3)
    moments = (key.created_at, key.expires_at, key.revoked_at)
    times = ("" if moment is None else str(to_us(moment)) for moment in moments)
    return [key.user_id, key.tier, key.pepper_id, key.name, *times]


def words_of(key: ApiKey) -> list[str]:
    """Return all words by which a key is found."""
    beginnings = [*_beginnings(Place.of(key)), layout.id_word(key.key_id)]
    return [layout.word(beginning, key.key_id) for beginning in beginnings]


def commands(key_id: str, key: ApiKey | None, former: Collection[Place]) -> list[Command]:
    """Return what lists a key where it belongs and nowhere else, as far as it may have been listed before.

    Each can be done again and does no harm. Without a record the key is listed nowhere.
    """
    place = None if key is None else Place.of(key)
    done = [command for old in former if old != place for command in _out_of(old, place, key_id)]
    for index, score in (
        (layout.ALL_KEYS, None if key is None else optional_us(key.created_at)),
        (layout.EXPIRING, None if key is None else optional_us(key.expires_at)),
        (layout.REVOKED, None if key is None else optional_us(key.revoked_at)),
    ):
        done.append(("ZREM", index, key_id) if score is None else ("ZADD", index, score, key_id))
    if key is None:
        return [*done, ("ZREM", layout.WORDS, layout.word(layout.id_word(key_id), key_id))]
    return [*done, *_into(Place.of(key), key)]


def _into(place: Place, key: ApiKey) -> list[Command]:
    created = optional_us(key.created_at) or 0
    change = "SADD" if key.revoked_at is None else "SREM"
    return [
        ("ZADD", layout.keys_of_user(place.user_id), created, key.key_id),
        (change, layout.unrevoked_of_user(place.user_id), key.key_id),
        ("ZADD", layout.keys_of_tier(place.tier), created, key.key_id),
        ("SADD", layout.PEPPERS, place.pepper_id),
        (change, layout.keys_of_pepper(place.pepper_id), key.key_id),
        *(("ZADD", layout.WORDS, 0, word) for word in words_of(key)),
    ]


def _out_of(old: Place, new: Place | None, key_id: str) -> list[Command]:
    done: list[Command] = []
    if new is None or old.user_id != new.user_id:
        done += [
            ("ZREM", layout.keys_of_user(old.user_id), key_id),
            ("SREM", layout.unrevoked_of_user(old.user_id), key_id),
        ]
    kept = [] if new is None else _beginnings(new)
    gone = [layout.word(beginning, key_id) for beginning in _beginnings(old) if beginning not in kept]
    done += [("ZREM", layout.WORDS, word) for word in gone]
    if new is None or old.tier != new.tier:
        done.append(("ZREM", layout.keys_of_tier(old.tier), key_id))
    if new is None or old.pepper_id != new.pepper_id:
        done.append(("SREM", layout.keys_of_pepper(old.pepper_id), key_id))
    return done


def _beginnings(place: Place) -> list[str]:
    return [layout.user_word(place.user_id), layout.name_word(folded(place.name))]
