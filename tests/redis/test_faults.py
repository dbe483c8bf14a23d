"""Redis slow, gone, restarted or unwilling: every fault is a StoreError in time, none tells a password."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from extauth.errors import StoreError
from extauth.stores.base import AuditFilter, Claim, KeyFilter, KeyStore, KeyUse
from extauth.stores.redis.link import RefusedError
from tests.fakes import START
from tests.integration.processes import free_ports
from tests.keys import entry, record, rotated
from tests.redis.proxy import listening
from tests.redis.server import HOST, PATIENT, RedisServer, opened, running
from tests.redis.state import actions_in, assert_consistent

PASSWORD = "the password that nobody may see"
SHORT = timedelta(milliseconds=100)

CALLS: dict[str, Callable[[KeyStore], Awaitable[object]]] = {
    "add": lambda store: store.add(record("AAAAbbbb0002"), entry()),
    "get": lambda store: store.get("AAAAbbbb0001"),
    "save": lambda store: store.save(record(version=2), entry()),
    "rotate": lambda store: store.rotate(record(version=2), record("AAAAbbbb0002"), rotated()),
    "purge": lambda store: store.purge(START, entry("")),
    "list": lambda store: store.list(),
    "count": lambda store: store.count(),
    "peppers": lambda store: store.peppers(),
    "grace_use": lambda store: store.grace_use("AAAAbbbb0001"),
    "audit": lambda store: store.audit(),
    "note": lambda store: store.note(entry()),
    "trim_audit": lambda store: store.trim_audit(START),
    "versions": lambda store: store.versions(["AAAAbbbb0001"]),
    "durability": lambda store: store.durability(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_redis_that_hangs_costs_no_more_than_the_timeout(server: RedisServer, call: str) -> None:
    """Frozen, it goes on taking connections; whoever asks is told in time, by host and port."""

    async def scenario() -> None:
        async with opened(server.url, timeout=SHORT) as store:
            await store.add(record(), entry())
            server.child.pause()
            try:
                started = time.monotonic()
                with pytest.raises(StoreError, match=rf"{HOST}:{server.port}: no answer within 100 ms"):
                    await CALLS[call](store)
                assert time.monotonic() - started < 2
            finally:
                server.child.resume()

    asyncio.run(scenario())


@pytest.mark.parametrize("call", CALLS)
def test_a_redis_that_is_gone_is_a_store_error(tmp_path: Path, call: str) -> None:
    """At once, and once it is there again, so is the store, without anybody's doing."""

    async def scenario() -> None:
        with running(RedisServer(tmp_path / "redis")) as server:
            async with opened(server.url) as store:
                server.child.stop()
                with pytest.raises(StoreError, match=f"Redis {HOST}:{server.port}: "):
                    await CALLS[call](store)
                server.child.start()
                assert await store.get("AAAAbbbb0001") is None
                await store.add(record(), entry())

    asyncio.run(scenario())


def test_nothing_opens_without_a_redis() -> None:
    """Starting says what is missing."""

    async def scenario() -> None:
        (port,) = free_ports(1)
        with pytest.raises(StoreError, match=f"Redis {HOST}:{port}: "):
            async with opened(f"redis://ann:{PASSWORD.replace(' ', '%20')}@{HOST}:{port}"):
                pass

    asyncio.run(scenario())


@pytest.mark.parametrize("source", ["url", "file"])
def test_passwords_come_from_the_url_or_from_a_file(tmp_path: Path, source: str) -> None:
    """A right one opens; a wrong one is refused without being told."""

    async def scenario() -> None:
        configuration = f'user ann on ">{PASSWORD}" ~* &* +@all\nuser default off\n'
        file = tmp_path / "password"

        def where(password: str) -> tuple[str, dict[str, Path]]:
            if source == "url":
                return f"redis://ann:{password.replace(' ', '%20')}@{HOST}:{server.port}", {}
            file.write_text(f"{password}\n")
            return f"redis://ann@{HOST}:{server.port}", {"password_file": file}

        with running(RedisServer(tmp_path / "redis", configuration=configuration)) as server:
            url, settings = where(PASSWORD)
            async with opened(url, **settings) as store:
                await store.add(record(), entry())
            url, settings = where(f"not {PASSWORD}")
            with pytest.raises(StoreError) as refusal:
                async with opened(url, **settings):
                    pass
            assert str(server.port) in str(refusal.value)
            error: BaseException | None = refusal.value
            while error is not None:
                assert PASSWORD not in str(error)
                error = error.__cause__ or error.__context__

    asyncio.run(scenario())


def test_a_password_file_that_cannot_be_read_is_named(server: RedisServer, tmp_path: Path) -> None:
    """Not taken for an empty password."""

    async def scenario() -> None:
        with pytest.raises(StoreError, match=r"absent: the password of Redis can't be read"):
            async with opened(server.url, password_file=tmp_path / "absent"):
                pass

    asyncio.run(scenario())


def test_scripts_are_sent_again_to_a_redis_that_forgot_them(server: RedisServer) -> None:
    """After a restart, a failover or SCRIPT FLUSH."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            for number in range(3):
                server.ask("SCRIPT", "FLUSH")
                key_id = f"AAAAbbbb000{number}"
                await store.add(record(key_id), entry(key_id))
        assert_consistent([server])

    asyncio.run(scenario())


def test_a_lost_connection_is_made_anew_for_a_read(server: RedisServer) -> None:
    """Servers close idle connections; nobody is told."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            assert await store.count() == 0

    asyncio.run(scenario())


def test_a_write_is_never_sent_twice(server: RedisServer) -> None:
    """Whether it happened is unknown when the connection breaks, so whoever asked is told just that."""

    async def scenario() -> None:
        async with listening(server) as proxy, opened(proxy.url) as store:
            await store.add(record(), entry())
            proxy.heard.clear()
            proxy.cut = {"EVALSHA"}
            with pytest.raises(StoreError, match="whether the change holds is unknown"):
                await store.save(record(version=2), entry(action="key.updated"))
            assert proxy.names().count("EVALSHA") == 1
            await store.repair(left_for_ms=0)
            assert actions_in(assert_consistent([server]), "AAAAbbbb0001") == ["key.created"]

    asyncio.run(scenario())


def test_a_change_that_held_after_all_is_completed(server: RedisServer) -> None:
    """The answer to the step that replaced the record was lost: the repair audits it, once."""

    async def scenario() -> None:
        async with listening(server) as proxy, opened(proxy.url) as store:
            await store.add(record(), entry())
            cuts = iter([set(), {"EVALSHA"}])
            write = store._link.write

            async def cutting(*commands: object, **options: object) -> list[object]:
                proxy.cut = next(cuts, set())
                return await write(*commands, **options)  # type: ignore[arg-type]  # handed on as given

            store._link.write = cutting  # type: ignore[method-assign]  # this store is this test's
            with pytest.raises(StoreError, match="whether the change holds is unknown"):
                await store.save(record(version=2), entry(action="key.updated"))
            assert list(await store.versions(["AAAAbbbb0001"])) == [2]
            await store.repair(left_for_ms=0)
            state = assert_consistent([server])
            assert actions_in(state, "AAAAbbbb0001") == ["key.created", "key.updated"]

    asyncio.run(scenario())


def test_a_redis_that_refuses_says_so(tmp_path: Path) -> None:
    """Full memory is no unknown outcome; reading goes on, and a refused rotation leaves no new key."""

    async def scenario() -> None:
        with running(RedisServer(tmp_path / "redis")) as server:
            async with opened(server.url) as store:
                await store.add(record(), entry())
                server.ask("CONFIG", "SET", "maxmemory", "1")
                with pytest.raises(RefusedError, match=r"maxmemory"):
                    await store.save(record(version=2), entry())
                with pytest.raises(StoreError):
                    await store.rotate(record(version=2), record("AAAAbbbb0002"), rotated())
                assert list(await store.versions(["AAAAbbbb0001", "AAAAbbbb0002"])) == [1, 0]
                server.ask("CONFIG", "SET", "maxmemory", "0")
                await store.repair(left_for_ms=0)
                assert_consistent([server])

    asyncio.run(scenario())


def test_whoever_gives_up_waiting_leaves_no_answer_behind(server: RedisServer) -> None:
    """The next to ask on the same store gets their own answer, not the one that came too late."""

    async def scenario() -> None:
        async with opened(server.url) as store:
            for number in range(10):
                key_id = f"AAAAbbbb000{number}"
                await store.add(record(key_id), entry(key_id))
            for turns in range(60):
                asking = asyncio.create_task(store.get(f"AAAAbbbb000{turns % 10}"))
                for _ in range(turns % 12):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                other = f"AAAAbbbb000{(turns + 5) % 10}"
                key = await store.get(other)
                assert key is not None
                assert key.key_id == other

    asyncio.run(scenario())


def test_more_questions_than_connections_are_all_answered(server: RedisServer) -> None:
    """A burst of unknown keys waits its turn."""

    async def scenario() -> None:
        async with opened(server.url, timeout=PATIENT) as store:
            await store.add(record(), entry())
            found = await asyncio.gather(*(store.get("AAAAbbbb0001") for _ in range(500)))
            assert all(found)
            assert int(server.ask("INFO", "clients").partition("connected_clients:")[2].split()[0]) <= 70

    asyncio.run(scenario())


def test_the_permissions_in_the_documentation_are_enough(tmp_path: Path) -> None:
    """An operator who gives the user these and no others can do everything."""
    page = (Path(__file__).parents[2] / "docs" / "redis.md").read_text(encoding="utf-8")
    keys, commands = re.findall(r"the keys `([^`]+)` and the commands `([^`]+)`", page)[0]

    async def scenario() -> None:
        configuration = f"user ann on >secret {keys} {commands}\nuser default off\n"
        with running(RedisServer(tmp_path / "redis", configuration=configuration)) as server:
            async with opened(f"redis://ann:secret@{HOST}:{server.port}") as store:
                assert "Redis keeps no append-only file" in await store.durability()
                await store.add(record("AAAAbbbb0002"), entry())
                await store.add(record(revoked_at=START), entry(), most_of_user=5)
                await store.note_uses([KeyUse(key_id="AAAAbbbb0001", last_used=START, calls={"a": 1})])
                claim = Claim(fingerprint="f", key_id="AAAAbbbb0001", at=START)
                await store.claim("name", claim, stale_before=START)
                page = await store.list(KeyFilter(expires_before=START))
                page = await store.list(KeyFilter(tier="default"))
                assert len(page.keys) == 2
                await store.audit(AuditFilter(since=START))
                await store.audit(AuditFilter(key_id="AAAAbbbb0001"))
                await store.purge(START + timedelta(days=1), entry(""))
                assert await store.peppers() == {"": 1}
                assert await store.trim_audit(START + timedelta(days=1)) == 3

    asyncio.run(scenario())


def test_a_server_that_is_no_cluster_is_told(server: RedisServer) -> None:
    """A URL of the wrong kind is a mistake of the configuration, not a stack trace."""

    async def scenario() -> None:
        with pytest.raises(StoreError, match=r"luster"):
            async with opened(f"redis+cluster://{HOST}:{server.port}"):
                pass

    asyncio.run(scenario())
