"""What a crash of Redis may lose, as far as Redis tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from redis.asyncio import RedisCluster

from extauth.stores.redis.fields import from_flat
from extauth.stores.redis.link import RedisLink, RefusedError

# The first version that can be asked to wait until its append-only file is on the disk.
_WITH_WAITAOF = (7, 2)
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Persistence:
    """What one server does with its changes; None where it does not tell."""

    appends: bool | None
    policy: str | None
    can_wait: bool

    @property
    def waits(self) -> bool:
        """Whether it can tell that a change is on the disk."""
        return self.appends is True and self.can_wait

    @property
    def strength(self) -> int:
        """How much survives a crash: the weakest server speaks for a cluster."""
        if self.appends is None:
            return 1
        if not self.appends:
            return 0
        return 5 if self.waits else {"always": 4, "everysec": 3}.get(self.policy or "", 2)


async def weakest_persistence(link: RedisLink) -> Persistence:
    """Ask all servers that hold keys, and return what the least careful one does. Raises StoreError."""
    if not isinstance(link.client, RedisCluster):
        return await persistence_of(link, None)
    found = [await persistence_of(link, node) for node in link.client.get_primaries()]
    return min(found, key=lambda one: one.strength)


def sentence(persistence: Persistence, *, has_replicas: bool) -> str:
    """Say what becomes of an acknowledged change in a crash."""
    said = _of_a_crash(persistence)
    if has_replicas:
        said += ", and a failover may lose what the replica had not received yet"
    return f"{said}."


def _of_a_crash(persistence: Persistence) -> str:
    if persistence.appends is None:
        return "Redis does not tell whether it keeps an append-only file: what its crash may lose is unknown"
    if not persistence.appends:
        return (
            "Redis keeps no append-only file: a crash of Redis loses all key changes since its last snapshot"
        )
    if persistence.waits:
        return (
            "Redis keeps an append-only file, and a key change is acknowledged once it is on the disk: it "
            "survives a crash of Redis"
        )
    match persistence.policy:
        case "always":
            return (
                "Redis keeps an append-only file, synced before each answer: an acknowledged key change "
                "survives a crash of Redis"
            )
        case "everysec":
            return (
                "Redis keeps an append-only file, synced every second: a crash of Redis may lose the last "
                "second of key changes"
            )
        case "no":
            return (
                "Redis keeps an append-only file, synced when its system likes: a crash of Redis's machine "
                "may lose the last half minute of key changes"
            )
    return (
        "Redis keeps an append-only file, but does not tell how often it is synced: a crash of Redis may "
        "lose the last key changes"
    )


async def persistence_of(link: RedisLink, node: Any) -> Persistence:
    """Ask one server of a cluster, or with None the single one. Raises StoreError."""
    try:
        told = dict(await link.ask(node, "INFO", "persistence"))
        version = dict(await link.ask(node, "INFO", "server")).get("redis_version")
    except RefusedError:
        return Persistence(appends=None, policy=None, can_wait=False)
    appends = told.get("aof_enabled")
    number = _VERSION.match(str(version))
    return Persistence(
        appends=None if appends is None else str(appends) == "1",
        policy=await setting_of(link, node, "appendfsync"),
        can_wait=number is not None and (int(number[1]), int(number[2])) >= _WITH_WAITAOF,
    )


async def setting_of(link: RedisLink, node: Any, name: str) -> str | None:
    """Return a value of a server's own configuration; None where it doesn't tell. Raises StoreError."""
    try:
        reply = await link.ask(node, "CONFIG", "GET", name)
    except RefusedError:
        # Managed services forbid it.
        return None
    flat = [*reply] if isinstance(reply, list) else [part for pair in reply.items() for part in pair]
    return from_flat(flat).get(name)
