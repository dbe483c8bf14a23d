"""The whole app in this process: it opens, serves, notices, recovers, closes, and finds everything again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from extauth.errors import ConfigError, StoreError
from extauth.keys.token import parse_key
from tests.fakes import FakeClock
from tests.waiting import eventually
from tests.world import World, open_world

TIERS = {"default": {"rates": ["5/second burst 3", "1000/hour"]}}


def rename(folder: Path, old: str, new: str) -> None:
    """Take the table away from a running server, or give it back."""
    connection = sqlite3.connect(folder / "extauth.db")
    with connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
    connection.close()


async def events(world: World, name: str) -> list[dict[str, Any]]:
    """Return the log lines about that event."""
    return [line for line in await world.logged() if line["event"] == name]


def test_an_opened_app_is_ready(tmp_path: Path) -> None:
    """Every part has reported, once."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            assert world.app.health.ready
            await asyncio.sleep(0)
            told = [(line["part"], line["level"]) for line in await events(world, "part_works")]
            assert sorted(told) == [("keys", "info"), ("limits", "info")]

    asyncio.run(scenario())


def test_the_story_of_a_key(tmp_path: Path) -> None:
    """Made, let in with its identity, limited, let in again later, revoked, refused."""

    async def scenario() -> None:
        clock = FakeClock()
        async with open_world(tmp_path, clock=clock, tiers=TIERS) as world:
            issued = await world.create_key("ada", scopes=("orders:read",))
            for remaining in ("2", "1", "0"):
                reply = await world.ask("/v1/x", key=issued.text)
                assert (reply.status, reply.headers["x-ratelimit-remaining"]) == (200, remaining)
                assert reply.headers["x-auth-user-id"] == "ada"
            reply = await world.ask("/v1/x", key=issued.text)
            assert (reply.status, reply.code, reply.headers["retry-after"]) == (429, "rate_limited", "1")
            clock.advance(seconds=1)
            assert (await world.ask("/v1/x", key=issued.text)).status == 200
            await world.revoke(issued.record)
            statuses = [200]
            while statuses[-1] == 200:
                await asyncio.sleep(0.01)
                clock.advance(seconds=1)
                statuses.append((await world.ask("/v1/x", key=issued.text)).status)
                assert len(statuses) < 100
            assert statuses[-1] == 401
            codes = [line["code"] for line in await events(world, "decision")]
            assert codes == ["allowed"] * 3 + ["rate_limited"] + ["allowed"] * len(statuses[:-1]) + [
                "invalid_key"
            ]

    asyncio.run(scenario())


def test_argon2_runs_once_for_a_thousand_checks(tmp_path: Path) -> None:
    """Through the whole of it: a thousand first checks at once, and none ever after."""

    async def scenario() -> None:
        async with open_world(
            tmp_path, tiers={"default": {"rates": []}}, throttle={"max_checks": 1_000}
        ) as world:
            issued = await world.create_key()
            for _ in range(2):
                replies = await asyncio.gather(*(world.ask(key=issued.text) for _ in range(1_000)))
                assert {reply.status for reply in replies} == {200}
                assert world.app.hasher.verifications == 1

    asyncio.run(scenario())


def test_counts_survive_a_restart(tmp_path: Path) -> None:
    """A month's quota is not given anew by a deployment."""

    async def one_server(text: str = "") -> tuple[str, str]:
        async with open_world(tmp_path, clock=FakeClock(), tiers=TIERS) as world:
            text = text or (await world.create_key()).text
            reply = await world.ask(key=text)
            return text, reply.headers["x-ratelimit-remaining"]

    text, remaining = asyncio.run(one_server())
    assert remaining == "2"
    assert [asyncio.run(one_server(text))[1] for _ in range(2)] == ["1", "0"]


def test_a_store_that_fails_and_comes_back(tmp_path: Path) -> None:
    """Not ready, told once, and no key is trusted meanwhile; then all is as before, without argon2."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            issued = await world.create_key()
            assert (await world.ask(key=issued.text)).status == 200
            rename(tmp_path, "keys", "taken_away")
            await eventually(lambda: not world.app.health.ready)
            assert "no such table" in world.app.health.parts["keys"]
            for _ in range(20):
                reply = await world.ask(key=issued.text)
                assert (reply.status, reply.code, reply.headers["retry-after"]) == (
                    503,
                    "store_unavailable",
                    "1",
                )
                await asyncio.sleep(0.005)
            assert (await world.ask()).code == "missing_key"
            rename(tmp_path, "taken_away", "keys")
            await eventually(lambda: world.app.health.ready)
            assert (await world.ask(key=issued.text)).status == 200
            assert world.app.hasher.verifications == 1
            assert [line["part"] for line in await events(world, "part_failed")] == ["keys"]
            assert [line["part"] for line in await events(world, "part_works")].count("keys") == 2

    asyncio.run(scenario())


def test_no_secret_is_in_any_file(tmp_path: Path) -> None:
    """Neither key store, nor limits, nor log hold a key's secret or tag, whatever was asked with it."""

    async def scenario() -> list[str]:
        async with open_world(tmp_path) as world:
            texts = [(await world.create_key()).text for _ in range(3)]
            for text in texts:
                await world.ask(f"/{text}?api_key={text}", key=text, headers={"x-request-id": text})
                await world.ask("/", key=text[:-1] + "_")
            await world.log_bytes()
            return texts

    texts = asyncio.run(scenario())
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for text in texts:
        key = parse_key(text)
        assert key.key_id.encode() in stored
        assert key.secret.encode() not in stored
        assert (key.secret + key.tag).encode()[-12:] not in stored


def test_one_server_at_a_time(tmp_path: Path) -> None:
    """A second one on the same embedded store is refused, and the first doesn't notice."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            with pytest.raises(StoreError, match="another extauth serves from this store"):
                async with open_world(tmp_path):
                    pytest.fail("opened twice")
            assert (await world.ask()).status == 401
        async with open_world(tmp_path) as world:
            assert world.app.health.ready

    asyncio.run(scenario())


def test_the_audit_log_is_trimmed_where_that_is_wanted(tmp_path: Path) -> None:
    """At the start; a server that leaves it to another one trims nothing, and knows the retention as well."""

    async def scenario() -> None:
        clock = FakeClock()
        async with open_world(tmp_path, clock=clock, trims_audit=False) as world:
            await world.create_key()
            clock.advance(seconds=401 * 86_400)
        async with open_world(tmp_path, clock=clock, trims_audit=False) as world:
            store = world.app.parts.management.store
            # The store does one thing after the other: this comes behind whatever was asked at the start.
            assert len((await store.audit()).entries) == 1
            assert world.app.trimming.retention.days == 400
        async with open_world(tmp_path, clock=clock) as world:
            await world.app.parts.management.store.audit()
            (trimmed,) = await events(world, "audit_trimmed")
            assert trimmed["entries"] == 1

    asyncio.run(scenario())


def test_a_lost_pepper_stops_the_start(tmp_path: Path) -> None:
    """Rather than refusing every key from then on."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            await world.create_key()
        (tmp_path / "pepper").unlink()
        with pytest.raises(ConfigError, match="is missing"):
            async with open_world(tmp_path):
                pytest.fail("opened without its pepper")

    asyncio.run(scenario())


def test_closing_leaves_nothing_running(tmp_path: Path) -> None:
    """No task outlives the app, and its files can be taken over at once."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            issued = await world.create_key()
            await world.ask(key=issued.text)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    assert {path.name for path in tmp_path.iterdir()} <= {
        "extauth.db", "extauth-limits.db", "extauth-limits.lock", "extauth-usage.db", "pepper",
        "decisions.log",
    }  # fmt: skip
