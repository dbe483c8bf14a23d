"""Looks at a Redis: how quick it is, what its clock says, what it would lose, what it would throw away."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ResponseError

from extauth.clock import MICROSECONDS, Clock
from extauth.settings.model import StoreSettings
from extauth.stores.facts import RedisFacts, SentinelFacts, ServerFacts
from extauth.stores.redis.connect import connect, sentinel_of
from extauth.stores.redis.durability import persistence_of, sentence, setting_of
from extauth.stores.redis.faults import told
from extauth.stores.redis.link import RedisLink, RefusedError
from extauth.stores.redis.listing import count_by_pepper

_QUESTIONS = 5


async def look_at_redis(settings: StoreSettings, clock: Clock) -> RedisFacts:
    """Ask all servers that hold keys about themselves, and change nothing. Raises StoreError."""
    link = RedisLink(connect(settings), timeout_seconds=settings.timeout.total_seconds())
    try:
        await link.greet()
        nodes = link.client.get_primaries() if isinstance(link.client, RedisCluster) else [None]
        has_replicas = settings.redis.kind != "server"
        return RedisFacts(
            where=link.where,
            kind=settings.redis.kind,
            servers=tuple([await _server(link, node, clock, has_replicas=has_replicas) for node in nodes]),
            peppers=await count_by_pepper(link),
            cluster_state=await _cluster_state(link, nodes[0]) if link.is_cluster else "",
            sentinels=await _sentinels(settings) if settings.redis.kind == "sentinel" else None,
        )
    finally:
        await link.close()


async def _server(link: RedisLink, node: Any, clock: Clock, *, has_replicas: bool) -> ServerFacts:
    latency_us = await _latency_us(link, node)
    ahead_us = await _ahead_us(link, node, clock)
    server = await _told(link, node, "server")
    replication = await _told(link, node, "replication")
    memory = await _told(link, node, "memory")
    persistence = await persistence_of(link, node)
    return ServerFacts(
        where=link.where if node is None else f"Redis {node.name}",
        version=str(server.get("redis_version", "")),
        latency_us=latency_us,
        ahead_us=ahead_us,
        role=replication.get("role"),
        replicas=_number(replication.get("connected_slaves")),
        replicas_needed=_number(await setting_of(link, node, "min-replicas-to-write")),
        memory_limit=_number(memory.get("maxmemory")),
        eviction=memory.get("maxmemory_policy"),
        appends=persistence.appends,
        durability=sentence(persistence, has_replicas=has_replicas),
    )


async def _latency_us(link: RedisLink, node: Any) -> int:
    took = []
    for _ in range(_QUESTIONS):
        began = time.monotonic()
        await link.ask(node, "PING")
        took.append(time.monotonic() - began)
    return round(statistics.median(took) * MICROSECONDS)


async def _ahead_us(link: RedisLink, node: Any, clock: Clock) -> int:
    before_us = clock.now_us()
    seconds, rest_us = await link.ask(node, "TIME")
    # Redis looked at its clock at some moment in between.
    return int(seconds) * MICROSECONDS + int(rest_us) - (before_us + clock.now_us()) // 2


async def _told(link: RedisLink, node: Any, section: str) -> dict[str, Any]:
    try:
        return dict(await link.ask(node, "INFO", section))
    except RefusedError:
        # Managed services forbid it.
        return {}


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))


async def _cluster_state(link: RedisLink, node: Any) -> str:
    try:
        # In one word, by which the client knows how to read the answer.
        return str(dict(await link.ask(node, "CLUSTER INFO"))["cluster_state"])
    except RefusedError:
        return ""


async def _sentinels(settings: StoreSettings) -> SentinelFacts:
    sentinels: list[Any] = [*sentinel_of(settings).sentinels]
    replies = await asyncio.gather(
        *(one.execute_command("SENTINEL", "CKQUORUM", settings.redis.service) for one in sentinels),
        return_exceptions=True,
    )
    await asyncio.gather(*(one.aclose() for one in sentinels))
    # One that says no has answered.
    objections = [told(reply) for reply in replies if isinstance(reply, ResponseError)]
    answering = len(objections) + sum(not isinstance(reply, BaseException) for reply in replies)
    return SentinelFacts(named=len(sentinels), answering=answering, objection=next(iter(objections), ""))
