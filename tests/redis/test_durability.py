"""What a crash of Redis loses: what the store says about it, and what is true."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from extauth.errors import StoreError
from tests.integration.processes import wait_until
from tests.keys import entry, record, rotated
from tests.redis.proxy import bulk, listening
from tests.redis.server import (
    HOST,
    NEWER_PROGRAM,
    RedisServer,
    cluster_url,
    opened,
    program_version,
    running,
    running_cluster,
)
from tests.redis.state import actions_in, assert_consistent, records_in
from tests.waiting import eventually

APPENDING = ("--save", "", "--appendonly", "yes", "--appendfsync")
CAN_WAIT = program_version() >= (7, 2)


def append(server: RedisServer) -> None:
    """Let a server keep an append-only file from now on, and wait until it has begun it."""
    server.ask("CONFIG", "SET", "appendonly", "yes")
    wait_until(
        lambda: all(
            line in server.ask("INFO", "persistence")
            for line in ("aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0")
        ),
        within=10,
        what="the append-only file",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--save", "", "--appendonly", "no"), "Redis keeps no append-only file"),
        ((*APPENDING, "always"), "synced before each answer"),
        ((*APPENDING, "everysec"), "may lose the last second of key changes"),
        ((*APPENDING, "no"), "synced when its system likes"),
    ],
)
def test_the_store_says_what_redis_keeps(tmp_path: Path, arguments: Sequence[str], said: str) -> None:
    """In one sentence, which the server logs at start."""

    async def scenario() -> None:
        with running(RedisServer(tmp_path / "redis", arguments)) as server:
            async with opened(server.url) as store:
                sentence = await store.durability()
        if CAN_WAIT and "yes" in arguments:
            assert "acknowledged once it is on the disk" in sentence
        else:
            assert said in sentence
        assert sentence.count(".") == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("forbidden", "said"),
    [
        ("-config", "does not tell how often it is synced"),
        ("-config -info", "does not tell whether it keeps an append-only file"),
    ],
)
def test_a_redis_that_does_not_tell_is_used_all_the_same(tmp_path: Path, forbidden: str, said: str) -> None:
    """Managed services forbid looking at their configuration."""

    async def scenario() -> None:
        configuration = f"user default on nopass ~* &* +@all {forbidden}\n"
        arguments = (*APPENDING, "everysec")
        with running(RedisServer(tmp_path / "redis", arguments, configuration=configuration)) as server:
            async with opened(server.url) as store:
                if not (CAN_WAIT and forbidden == "-config"):
                    assert said in await store.durability()
                await store.add(record(), entry())

    asyncio.run(scenario())


def test_the_least_careful_server_speaks_for_a_cluster(tmp_path: Path) -> None:
    """One that keeps nothing is enough to lose keys."""

    async def scenario() -> None:
        with running_cluster(tmp_path) as servers:
            for server in servers[:2]:
                append(server)
            async with opened(cluster_url(servers)) as store:
                assert (await store.durability()).startswith("Redis keeps no append-only file")
                append(servers[2])
                assert (await store.durability()).startswith("Redis keeps an append-only file")
                assert "a failover may lose" in await store.durability()

    asyncio.run(scenario())


def test_a_crash_of_redis_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Redis is killed again and again in the middle of creations; each acknowledged key is there, audited."""

    async def scenario() -> None:
        acknowledged: list[str] = []
        with running(RedisServer(tmp_path / "redis", (*APPENDING, "always"))) as server:
            async with opened(server.url) as store:
                for crash in range(3):
                    makers = [
                        asyncio.create_task(_make(store, f"{crash}{maker}", acknowledged))
                        for maker in range(6)
                    ]
                    await eventually(lambda: len(acknowledged) >= 30 * (crash + 1))  # noqa: B023 - awaited here
                    server.child.kill()
                    await asyncio.gather(*makers)
                    server.child.start()
                    await store.repair(left_for_ms=0)
                    state = assert_consistent([server])
                    found = {key.key_id for key in records_in(state)}
                    assert set(acknowledged) <= found
                    for key_id in found:
                        assert actions_in(state, key_id) == ["key.created"]

    asyncio.run(scenario())


async def _make(store: object, name: str, acknowledged: list[str]) -> None:
    with contextlib.suppress(StoreError):
        for number in range(10_000):
            key_id = f"A{name}{number:09}"
            await store.add(record(key_id), entry(key_id))  # type: ignore[attr-defined]  # a RedisKeyStore
            acknowledged.append(key_id)


def _newer(acknowledged: int) -> object:
    def answer(command: list[str]) -> bytes | None:
        if command[:2] == ["INFO", "server"]:
            return bulk("# Server\r\nredis_version:7.4.1\r\n")
        if command[:2] == ["INFO", "persistence"]:
            return bulk("# Persistence\r\naof_enabled:1\r\n")
        return b"*2\r\n:%d\r\n:0\r\n" % acknowledged if command[0] == "WAITAOF" else None

    return answer


def test_a_newer_redis_is_waited_for_on_the_connection_that_wrote(server: RedisServer) -> None:
    """WAITAOF counts what was written on its own connection: it stands right behind the last write."""

    async def scenario() -> None:
        async with listening(server, _newer(1)) as proxy, opened(proxy.url) as store:  # type: ignore[arg-type]  # gives bytes or None
            assert "acknowledged once it is on the disk" in await store.durability()
            for change in (
                store.add(record(), entry()),
                store.save(record(version=2), entry()),
                store.rotate(record(version=3), record("AAAAbbbb0002"), rotated()),
                store.note(entry()),
            ):
                proxy.heard.clear()
                await change
                (number, last), (other, wait) = proxy.heard[-2:]
                assert (wait, number) == (["WAITAOF", "1", "0", "5000"], other)
                assert last[0] in {"ZREM", "EVALSHA", "EVAL"}
                assert proxy.names().count("WAITAOF") == 1
            proxy.heard.clear()
            await store.count()
            assert "WAITAOF" not in proxy.names()

    asyncio.run(scenario())


def test_a_change_that_does_not_reach_the_disk_is_not_acknowledged(server: RedisServer) -> None:
    """It may or may not hold, and the error says just that."""

    async def scenario() -> None:
        async with listening(server, _newer(0)) as proxy, opened(proxy.url) as store:  # type: ignore[arg-type]  # gives bytes or None
            with pytest.raises(StoreError, match=r"not on the disk within .*unknown"):
                await store.add(record(), entry())
            with pytest.raises(StoreError, match=r"not on the disk within .*unknown"):
                await store.note(entry())

    asyncio.run(scenario())


@pytest.mark.skipif(NEWER_PROGRAM is None, reason="no Redis of 7.2 or later is to be had for this Python")
def test_a_real_redis_waits_for_its_file(tmp_path: Path) -> None:
    """On one server and on a cluster, with a file that is synced every second."""

    async def scenario() -> None:
        assert NEWER_PROGRAM is not None
        newer = RedisServer(tmp_path / "redis", (*APPENDING, "everysec"), NEWER_PROGRAM)
        with running(newer) as server:
            async with opened(server.url) as store:
                assert "acknowledged once it is on the disk" in await store.durability()
                await store.add(record(), entry())
                await store.save(record(version=2), entry())
                assert "cmdstat_waitaof:calls=2" in server.ask("INFO", "commandstats")
                server.ask("CONFIG", "SET", "appendonly", "no")
                with pytest.raises(StoreError, match=rf"{HOST}.*unknown"):
                    await store.save(record(version=3), entry())
                await store.save(record(version=4), entry())
        with running_cluster(tmp_path / "cluster", program=NEWER_PROGRAM) as servers:
            for server in servers:
                append(server)
            async with opened(cluster_url(servers)) as store:
                await store.add(record(), entry())
                waited = [server.ask("INFO", "commandstats") for server in servers]
                assert sum("cmdstat_waitaof:calls=" in one for one in waited) >= 2

    asyncio.run(scenario())
