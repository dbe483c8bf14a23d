"""Everything that is in a Redis, and whether it agrees with itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from extauth.clock import to_us
from extauth.model import ApiKey
from extauth.stores.redis import layout
from extauth.stores.redis.fields import from_fields, from_flat
from extauth.stores.search import folded
from tests.redis.server import RedisServer

_READ: Mapping[str, Callable[[RedisServer, str], Any]] = {
    "hash": lambda server, key: from_flat(server.ask("HGETALL", key)),
    "zset": lambda server, key: from_flat(server.ask("ZRANGE", key, 0, -1, "WITHSCORES")),
    "set": lambda server, key: dict.fromkeys(server.ask("SMEMBERS", key), ""),
    "list": lambda server, key: server.ask("LRANGE", key, 0, -1),
    "stream": lambda server, key: server.ask("XRANGE", key, "-", "+"),
    "string": lambda server, key: server.ask("GET", key),
}


def everything(servers: Sequence[RedisServer]) -> dict[str, Any]:
    """Return all that some servers hold, by key."""
    found: dict[str, Any] = {}
    for server in servers:
        for key in server.ask("KEYS", "*"):
            found[key] = _READ[server.ask("TYPE", key)](server, key)
    return found


def records_in(state: Mapping[str, Any]) -> list[ApiKey]:
    """Return all records."""
    return [from_fields(fields) for name, fields in state.items() if name.endswith(":record")]


def actions_in(state: Mapping[str, Any], key_id: str) -> list[str]:
    """Return what the audit log says that was done to a key, oldest first."""
    entries = [orjson.loads(from_flat(flat)["entry"]) for _, flat in state.get(layout.AUDIT_ENTRIES, [])]
    return [entry["action"] for entry in entries if entry["key_id"] == key_id]


def assert_consistent(servers: Sequence[RedisServer]) -> dict[str, Any]:
    """Hold that nothing is under way, and that each index lists exactly the records it should."""
    state = everything(servers)
    expected: dict[str, dict[str, str]] = defaultdict(dict)
    for key in records_in(state):
        created = str(to_us(key.created_at))
        expected[layout.ALL_KEYS][key.key_id] = created
        expected[layout.keys_of_user(key.user_id)][key.key_id] = created
        expected[layout.keys_of_tier(key.tier)][key.key_id] = created
        found_by = (
            (layout.id_word, key.key_id),
            (layout.user_word, key.user_id),
            (layout.name_word, folded(key.name)),
        )
        for begins, text in found_by:
            expected[layout.WORDS][layout.word(begins(text), key.key_id)] = "0"
        if key.expires_at is not None:
            expected[layout.EXPIRING][key.key_id] = str(to_us(key.expires_at))
        if key.revoked_at is not None:
            expected[layout.REVOKED][key.key_id] = str(to_us(key.revoked_at))
        else:
            expected[layout.unrevoked_of_user(key.user_id)][key.key_id] = ""
            expected[layout.keys_of_pepper(key.pepper_id)][key.key_id] = ""
    told = (":record", ":grace", ":peppers", ":audit", ":audit-times", ":audit-last", ":words-until")
    found = {
        name: value
        for name, value in state.items()
        if not name.endswith(told) and "audit-of" not in name and "{claim:" not in name
    }
    assert found == expected
    return state
