"""Of a server with workers one process trims the audit log for all, whoever stands in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extauth.keys.asked import Actor, NewKey
from extauth.management import open_key_management
from extauth.settings.load import load_settings
from extauth.stores.redis import layout
from tests.fakes import FakeClock
from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .fleet import PATIENCE, asking, served
from .test_reload import Server

WORKERS = 3


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis that keeps all commands it is sent: nothing else tells who looked in vain."""
    with running(RedisServer(tmp_path / "redis")) as server:
        server.ask("CONFIG", "SET", "slowlog-max-len", 1_000_000)
        server.ask("CONFIG", "SET", "slowlog-log-slower-than", 0)
        yield server


def write_entry(server: Server, age: timedelta) -> None:
    """Have the audit log begin with the creation of a key so long ago."""

    async def write() -> None:
        clock = FakeClock(datetime.now(UTC) - age)
        async with open_key_management(load_settings(server.config, {}), clock=clock) as management:
            new = NewKey(user_id="user-1", name="a key", tier="default", environment="live")
            await management.service.create(new, Actor(name="tests", source="here"))

    asyncio.run(write())


def looks(redis: RedisServer) -> int:
    """Return how often somebody looked for entries that are too old: a trim looks until it finds none."""
    commands = [words for _, _, _, words, *_ in redis.ask("SLOWLOG", "GET", -1)]
    return sum(words[:3] == ["ZRANGE", layout.AUDIT_TIMES, "-inf"] for words in commands)


def replace_worker(server: Server, number: int) -> None:
    """Kill a worker, and wait for the next one to take checks."""
    restarts = server.metric("extauth_worker_restarts_total")
    server.kill_worker(number)
    wait_until(
        lambda: server.metric("extauth_worker_restarts_total") > restarts and server.serving(),
        within=PATIENCE,
        what="it is replaced",
    )


def hold_that_all_have_begun(server: Server, key: str) -> None:
    """Have each worker ask Redis: whatever it asks for at its start it has asked by then."""
    with asking(server, 2 * WORKERS) as connections:
        assert {connection.check(key) for connection in connections} == {200}


def test_one_worker_trims_for_all(tmp_path: Path, redis: RedisServer) -> None:
    """The first one, also after it was replaced, by the retention in force; the supervisor doesn't either."""
    audit = {"retention": "30d"}
    server = Server(tmp_path / "server", store_url=redis.url, workers=WORKERS, audit=audit)
    write_entry(server, timedelta(days=31))
    write_entry(server, timedelta(days=3))
    key = str(server.create_key()["key"])
    with served(server):
        wait_until(lambda: bool(server.events("audit_trimmed")), within=PATIENCE, what="it is trimmed")
        hold_that_all_have_begun(server, key)
        # One that found an entry, and one that found no more.
        assert looks(redis) == 2
        # The others are told of another retention too, and go on.
        server.reload(audit={"retention": "1d"})
        replace_worker(server, 1)
        hold_that_all_have_begun(server, key)
        assert looks(redis) == 2
        replace_worker(server, 0)
        wait_until(lambda: len(server.events("audit_trimmed")) == 2, within=PATIENCE, what="it is trimmed")
        hold_that_all_have_begun(server, key)
        assert looks(redis) == 4
        assert [(line["worker"], line["entries"]) for line in server.events("audit_trimmed")] == [(0, 1)] * 2
        assert len(server.events("worker_ended")) == 2
