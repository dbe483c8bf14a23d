"""What callers with a rotated key get, and what operators see of them, on the real embedded store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from extauth.keys.asked import KeyChange
from tests.fakes import START, FakeClock
from tests.world import BY, World, open_world

GRACE = timedelta(hours=2)
ROUTES = [{"path": "/scoped", "scopes": ["x:y"]}]


def run(folder: Path, scenario: Callable[[World, FakeClock], Awaitable[None]], **sections: Any) -> None:
    """Run a scenario in a world."""

    async def in_world() -> None:
        clock = FakeClock()
        async with open_world(folder, clock=clock, routes=ROUTES, **sections) as world:
            await scenario(world, clock)

    asyncio.run(in_world())


async def version_seen(world: World, key: str, deprecated: bool) -> None:  # noqa: FBT001 - what to wait for
    """Wait until the server has noticed a rotation."""
    for _ in range(400):
        if ("deprecation" in (await world.ask("/a", key=key)).headers) == deprecated:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the server never noticed")


def test_callers_with_the_old_key_are_told(tmp_path: Path) -> None:
    """Since when there is another key, and when this one ends; callers with the new one are not bothered."""

    async def scenario(world: World, _clock: FakeClock) -> None:
        old = await world.create_key()
        assert "sunset" not in (await world.ask("/a", key=old.text)).headers
        new = await world.management.service.rotate(old.record.key_id, BY, grace=GRACE)
        await version_seen(world, old.text, deprecated=True)
        reply = await world.ask("/a", key=old.text)
        assert reply.status == 200
        assert reply.headers["deprecation"] == f"@{int(START.timestamp())}"
        assert reply.headers["sunset"] == "Sun, 01 Mar 2026 14:00:00 GMT"
        fresh = await world.ask("/a", key=new.text)
        assert fresh.status == 200
        assert not {"sunset", "deprecation"} & fresh.headers.keys()

    run(tmp_path, scenario)


def test_a_refusal_for_limits_tells_too(tmp_path: Path) -> None:
    """It is an answer to a caller who is known; a failed authentication tells nothing."""

    async def scenario(world: World, clock: FakeClock) -> None:
        old = await world.create_key(tier="one")
        await world.management.service.rotate(old.record.key_id, BY, grace=GRACE)
        assert (await world.ask("/a", key=old.text)).status == 200
        limited = await world.ask("/a", key=old.text)
        assert (limited.status, "sunset" in limited.headers) == (429, True)
        clock.advance(seconds=int(GRACE.total_seconds()))
        ended = await world.ask("/a", key=old.text)
        assert (ended.status, "sunset" in ended.headers) == (401, False)

    run(tmp_path, scenario, tiers={"one": {"rates": ["1/day"]}})


def test_the_end_of_a_grace_holds_to_the_second(tmp_path: Path) -> None:
    """One second before it passes, at the end it doesn't; the log says why, the caller isn't told."""

    async def scenario(world: World, clock: FakeClock) -> None:
        old = await world.create_key()
        await world.management.service.rotate(old.record.key_id, BY, grace=GRACE)
        clock.advance(seconds=int(GRACE.total_seconds()) - 1)
        assert (await world.ask("/a", key=old.text)).status == 200
        clock.advance(seconds=1)
        reply = await world.ask("/a", key=old.text)
        assert (reply.status, reply.code) == (401, "invalid_key")
        world.app.recorder.flush()
        assert [line["reason"] for line in await world.logged() if line.get("reason")] == ["rotated"]

    run(tmp_path, scenario)


def test_who_still_calls_is_known(tmp_path: Path) -> None:
    """By address, and it is written in the end at the latest."""

    async def scenario(world: World, _clock: FakeClock) -> None:
        service = world.management.service
        old = await world.create_key()
        await service.rotate(old.record.key_id, BY, grace=GRACE)
        for address in ("192.0.2.1", "192.0.2.1", "2001:db8::7"):
            await world.ask("/a", key=old.text, headers={"x-extauth-client-ip": address})
        await world.ask("/scoped", key=old.text, headers={"x-extauth-client-ip": "192.0.2.9"})
        world.app.recorder.flush()
        await world.app.uses.write()
        report = await service.grace(old.record.key_id)
        assert not report.is_safe
        assert report.use.calls == 4
        assert report.use.addresses == {"192.0.2.1": 2, "192.0.2.9": 1, "2001:db8::7": 1}

    run(tmp_path, scenario)


def test_the_last_use_is_not_lost_on_a_clean_stop(tmp_path: Path) -> None:
    """Checks whose lines are not even written yet count."""

    async def scenario() -> None:
        clock = FakeClock()
        async with open_world(tmp_path, clock=clock) as world:
            key = await world.create_key()
            await world.ask("/a", key=key.text)
            clock.advance(seconds=30)
            await world.ask("/a", key=key.text)
        async with open_world(tmp_path, clock=clock) as world:
            record = await world.management.service.get(key.record.key_id)
            assert record.last_used == START + timedelta(seconds=30)
            assert record.version == 1

    asyncio.run(scenario())


def test_a_change_of_scopes_or_limits_holds_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    """Other processes' changes are noticed, whatever they change."""

    async def scenario(world: World, _clock: FakeClock) -> None:
        key = await world.create_key()
        assert (await world.ask("/scoped", key=key.text)).status == 403
        service = world.management.service
        await service.update(key.record.key_id, KeyChange(scopes=("x:*",), limits={"rates": ["2/day"]}), BY)
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await world.ask("/scoped", key=key.text)).status)

        for _ in range(200):
            await ask()
            if statuses[-1] == 200:
                break
            await asyncio.sleep(0.005)
        await ask()
        await ask()
        assert statuses[-3:] == [200, 200, 429]

    run(tmp_path, scenario)


def test_a_changed_cost_of_argon2_reaches_old_hashes(tmp_path: Path) -> None:
    """After the first use under the new settings, without anybody noticing."""

    async def scenario() -> None:
        async with open_world(tmp_path) as world:
            key = await world.create_key()
        dearer = {"hashing": {"memory_kib": 8_192, "time_cost": 2, "workers": 1}}
        async with open_world(tmp_path, keys=dearer) as world:
            assert (await world.ask("/a", key=key.text)).status == 200
            service = world.management.service
            for _ in range(400):
                if (await service.get(key.record.key_id)).version == 2:
                    break
                await asyncio.sleep(0.005)
            assert "t=2" in (await service.get(key.record.key_id)).hashed_key
            assert (await world.ask("/a", key=key.text)).status == 200

    asyncio.run(scenario())


def test_a_servers_own_change_holds_from_its_next_check_on(tmp_path: Path) -> None:
    """Nothing has to be noticed first."""

    async def scenario(world: World, _clock: FakeClock) -> None:
        service = world.app.keys
        key = await world.create_key()
        assert (await world.ask("/a", key=key.text)).status == 200
        for action, status in ((service.disable, 401), (service.enable, 200), (service.revoke, 401)):
            await action(key.record.key_id, BY)
            assert (await world.ask("/a", key=key.text)).status == status

    run(tmp_path, scenario)
