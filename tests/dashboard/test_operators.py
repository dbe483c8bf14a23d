"""What operators see at a glance: how much is asked, by whom, who is near a limit, and how the service is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from extauth.dashboard.server_view import Rates
from extauth.telemetry.reloads import ReloadOutcome
from tests.dashboard.visit import ANSWERED_WITHIN, Site, with_site
from tests.fakes import FakeClock
from tests.keys import mint

PRO = {"pro": {"rates": ["10/hour", {"rate": "4/hour", "name": "trial", "shadow": True}]}}


async def counted(look: Callable[[], Awaitable[Any]], fits: Callable[[Any], bool]) -> Any:
    """Return what a look shows once it fits: usage is written in the background."""
    async with asyncio.timeout(ANSWERED_WITHIN):
        while not fits(seen := await look()):  # noqa: ASYNC110 - it is written when its time has come
            await asyncio.sleep(0.02)
    return seen


def test_the_overview_shows_the_last_hour_and_who_asks_most(tmp_path: Path) -> None:
    """Usage by outcome, the busiest keys first, who fails to authenticate, and whether all parts work."""

    async def scenario(site: Site) -> None:
        operator, world = await site.operator(), site.world
        keys = [await world.create_key(user) for user in ("quiet", "busy")]
        for key, times in zip(keys, (1, 3), strict=True):
            for _ in range(times):
                assert (await world.ask(key=key.text)).status == 200
        await world.ask(key=mint()[0])
        world.app.recorder.flush()
        page = await counted(
            lambda: operator.get("/overview"), lambda page: len(page["talkers"]["1h"]["series"]) > 2
        )
        total = page["hour"]["series"][0]["total"]
        assert (total["allowed"], total["refused"]) == (4, 1)
        talkers = page["talkers"]["1h"]["series"]
        groups = [series["group"] for series in talkers]
        assert groups[0] == keys[1].record.key_id
        assert keys[0].record.key_id in groups
        named = {series["group"]: (series["user_id"], series["name"]) for series in talkers}
        assert named[groups[0]] == ("busy", "a key")
        # Who sent a key that was made up is nobody.
        assert (None, None) in named.values()
        assert "points" not in talkers[0]
        assert page["health"] == {"ready": True, "parts": {"keys": "ok", "limits": "ok", "config": "ok"}}
        assert page["bans"] == 0

    with_site(tmp_path, scenario)


def test_the_busiest_keys_are_told_for_now_and_for_the_hour(tmp_path: Path) -> None:
    """Who stopped ten minutes ago is none of those who send right now."""

    async def scenario(site: Site) -> None:
        operator, world = await site.operator(), site.world
        for user, times, later in (("before", 3, 600), ("now", 1, 0)):
            key = await world.create_key(user)
            for _ in range(times):
                await world.ask(key=key.text)
            world.app.recorder.flush()
            site.clock.advance(seconds=later)
        page = await counted(
            lambda: operator.get("/overview"), lambda page: len(page["talkers"]["1h"]["series"]) > 1
        )
        told = {
            over: [one["user_id"] for one in talkers["series"]] for over, talkers in page["talkers"].items()
        }
        assert told == {"5m": ["now"], "1h": ["before", "now"]}

    with_site(tmp_path, scenario)


def test_who_is_near_a_limit_comes_first(tmp_path: Path) -> None:
    """Of the busiest keys, each of their limits, with what is left of it; those in shadow say so."""

    async def scenario(site: Site) -> None:
        operator, world = await site.operator(), site.world
        key = await world.create_key("busy", tier="pro")
        for _ in range(2):
            await world.ask(key=key.text)
        world.app.recorder.flush()
        page = await counted(lambda: operator.get("/near"), lambda page: page["keys"])
        shown = [
            (
                row["user_id"],
                row["limit"],
                row["capacity"],
                row["remaining"],
                row["share_used"],
                row["shadow"],
            )
            for row in page["keys"]
        ]
        assert shown == [("busy", "trial", 4, 2, 0.5, True), ("busy", "per-hour", 10, 8, 0.2, False)]
        assert page["keys"][1]["reset_seconds"] == 720
        for _ in range(8):
            await world.ask(key=key.text)
        spent = (await operator.get("/near"))["keys"][0]
        # When a request passes again is told beside when all of the limit is free.
        told = [spent[name] for name in ("limit", "would_refuse", "retry_seconds", "reset_seconds")]
        assert told == ["per-hour", True, 360, 3600]

    with_site(tmp_path, scenario, tiers=PRO)


def test_the_system_page_shows_what_is_in_force_without_secrets(tmp_path: Path) -> None:
    """Settings as `extauth config show` prints them, parts, signals, the store, and the last reload."""

    async def scenario(site: Site) -> None:
        operator, app = await site.operator(), site.world.app
        page = await operator.get("/system")
        assert page["ready"] is True
        assert page["health"] == {"keys": "ok", "limits": "ok", "config": "ok"}
        assert (page["workers"], page["worker_health"], page["reload"]) == (1, {}, None)
        assert page["store"]["kind"] == "sqlite"
        assert page["config"]["keys"]["peppers"] == ["********"]
        assert "pepper of these tests" not in str(page)
        app.signals.otlp += 3
        app.parts.ends.by_signal += 2
        app.parts.ends.by_expiry += 1
        app.reloads.count(ReloadOutcome.FAILED)
        app.health.report("config", "has a mistake")
        page = await operator.get("/system")
        signals = page["signals"]
        assert (signals["received"]["otlp"], signals["freed_by_signal"], signals["by_expiry"]) == (3, 2, 1)
        assert page["reload"] == {"at": "2026-03-01T12:00:00Z", "ok": False, "problem": "has a mistake"}
        assert page["ready"] is True

    with_site(tmp_path, scenario, keys={"peppers": ["a pepper of these tests, which is long"]})


def test_a_rate_is_what_came_between_two_looks() -> None:
    """Nothing at the first look, nor after a long time; by outcome, and never below nought."""
    clock = FakeClock()
    rates = Rates(clock)
    checks: dict[tuple[str, ...], float] = {
        ("envoy", "allowed", "allowed"): 10.0,
        ("nginx", "limited", "rate_limited"): 4.0,
    }
    assert rates.of(checks) is None
    clock.advance(seconds=2)
    checks[("envoy", "allowed", "allowed")] += 6
    checks[("nginx", "limited", "too_many_concurrent_requests")] = 1.0
    expected = {"allowed": 3.0, "rate_limited": 0.0, "throttled": 0.5, "refused": 0.0, "failed": 0.0}
    assert rates.of(checks) == expected
    # Another page that looks at nearly the same time is told the same.
    clock.advance(microseconds=100_000)
    assert rates.of({}) == expected
    clock.advance(seconds=1)
    # A worker that ended before it reported takes its counts with it.
    assert rates.of({})["allowed"] == 0.0  # type: ignore[index]  # there are rates
    clock.advance(seconds=60)
    assert rates.of(checks) is None
    clock.advance(seconds=-10)
    assert rates.of(checks) is None
