"""Clients that go on past their refusals: from the settings to the answer, on the embedded store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from extauth import compiled
from extauth.clock import MICROSECONDS
from extauth.model import CheckRequest, Code, Decision, Limit, Per
from extauth.reporting.explained import Question
from extauth.settings.model import Settings
from extauth.stores.states import LocalLimits
from tests.answers import parse_list
from tests.checking import Rig, request_for
from tests.fakes import FakeClock
from tests.keys import record
from tests.reloading import Changing, changing
from tests.sharing import SharedRig
from tests.world import BY, World, open_world

COOL_DOWN = {"violations": 3, "window": "10s", "cool_down": "30s", "longest": "2m"}
ONE_AN_HOUR: dict[str, Any] = {"rates": ["1/hour"], "cool_down": COOL_DOWN}
SECOND = {"rates": ["1/second"], "cool_down": COOL_DOWN}
ALLOWED, LIMITED, COOLING = Code.ALLOWED, Code.RATE_LIMITED, Code.COOLING_DOWN


def with_rig(scenario: Callable[[Rig], Awaitable[None]], **sections: Any) -> None:
    """Run a scenario on a checker."""

    async def run() -> None:
        rig = Rig(**sections)
        try:
            await scenario(rig)
        finally:
            rig.hasher.close()

    asyncio.run(run())


async def codes(rig: Rig, number: int, path: str = "/", **asked: Any) -> list[Code]:
    """Ask so many times; return what came of it."""
    return [(await rig.ask(path, **asked)).code for _ in range(number)]


def wait(rig: Rig, decision: Decision, *, less_us: int = 0) -> None:
    """Wait as long as a client was told, or a little less."""
    rig.clock.advance(microseconds=decision.retry_after * MICROSECONDS - less_us)


def test_each_further_one_lasts_twice_as_long_up_to_the_longest() -> None:
    """Whoever waits as long as told passes, and not a moment earlier."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        for seconds in (30, 60, 120, 120):
            assert await codes(rig, 4, key=text) == [ALLOWED, LIMITED, LIMITED, COOLING]
            decision = await rig.ask(key=text)
            assert (decision.code, decision.retry_after) == (COOLING, seconds)
            assert decision.violated == ("per-second", "cool-down")
            wait(rig, decision, less_us=1)
            decision = await rig.ask(key=text)
            assert (decision.violated, decision.retry_after) == (("cool-down",), 1)
            rig.clock.advance(microseconds=1)
        # The longest is over, and so long again nothing happened.
        rig.clock.advance(seconds=120)
        assert await codes(rig, 4, key=text) == [ALLOWED, LIMITED, LIMITED, COOLING]
        assert (await rig.ask(key=text)).retry_after == 30

    with_rig(scenario, tiers={"default": SECOND})


def test_whoever_waits_as_told_never_cools_down() -> None:
    """However often it is refused: violations of another window are forgotten."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        for _ in range(20):
            assert await codes(rig, 3, key=text) == [ALLOWED, LIMITED, LIMITED]
            rig.clock.advance(seconds=10)

    with_rig(scenario, tiers={"default": SECOND})


def test_a_wait_for_a_limit_that_lasts_longer_is_told() -> None:
    """After the cool-down nothing would pass yet."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        await codes(rig, 3, key=text)
        decision = await rig.ask(key=text)
        assert (decision.code, decision.retry_after) == (COOLING, 3_600)
        wait(rig, decision)
        assert await codes(rig, 1, key=text) == [ALLOWED]

    with_rig(scenario, tiers={"default": ONE_AN_HOUR})


def test_it_refuses_whatever_the_key_asks_for_but_not_in_shadow() -> None:
    """Other routes too, free ones too; others' keys have nothing to do with it."""
    routes = [{"path": "/free", "cost": 0}, {"path": "/shadow", "shadow": True}]

    async def scenario(rig: Rig) -> None:
        (text, _), (other, _) = await rig.issue(), await rig.issue()
        await codes(rig, 4, key=text)
        assert await codes(rig, 1, "/free", key=text) == [COOLING]
        assert await codes(rig, 2, "/shadow", key=text) == [ALLOWED, ALLOWED]
        assert await codes(rig, 1, key=other) == [ALLOWED]

    with_rig(scenario, tiers={"default": ONE_AN_HOUR}, routes=routes)


def test_only_refusals_for_limits_are_violations() -> None:
    """What a route's scopes refuse, or a limit in shadow would have, is none."""
    routes = [{"path": "/admin", "scopes": ["admin"]}, {"path": "/shadow", "shadow": True}]
    shadowed = {"rate": "1/day", "shadow": True}

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        assert await codes(rig, 9, "/admin", key=text) == [Code.INSUFFICIENT_SCOPE] * 9
        assert await codes(rig, 9, "/shadow", key=text) == [ALLOWED] * 9
        assert await codes(rig, 3, key=text) == [LIMITED, LIMITED, COOLING]

    tier = {"rates": [*ONE_AN_HOUR["rates"], shadowed], "cool_down": COOL_DOWN}
    with_rig(scenario, tiers={"default": tier}, routes=routes)


def test_a_tier_in_shadow_refuses_nothing() -> None:
    """With a cool-down as without one."""

    async def scenario(rig: Rig) -> None:
        text, _ = await rig.issue()
        assert await codes(rig, 9, key=text) == [ALLOWED] * 9

    with_rig(scenario, tiers={"default": {**ONE_AN_HOUR, "shadow": True}})


@pytest.mark.parametrize(
    ("tier", "own", "names"),
    [
        ("free", {}, ["per-hour", "cool-down"]),
        ("free", {"rates": ["5/day"]}, ["per-day", "cool-down"]),
        ("plain", {"rates": ["5/day"]}, ["per-day"]),
        ("gone", {"rates": ["5/day"]}, ["per-day"]),
    ],
)
def test_a_key_with_limits_of_its_own_has_its_tiers_cool_down(
    tier: str, own: dict[str, object], names: list[str]
) -> None:
    """Else whoever is given more could go on as he likes."""
    settings = Settings.model_validate({"tiers": {"free": ONE_AN_HOUR, "plain": {"rates": ["1/hour"]}}})
    found = compiled.planner(settings).limits_of(record(tier=tier, limits=own))
    assert [limit.name for limit in found] == names


def test_the_settings_make_a_limit_of_it() -> None:
    """By key in tiers, by address without a key, beside as many rates as are allowed."""
    eight = [f"1/{seconds}s" for seconds in range(1, 9)]
    settings = Settings.model_validate(
        {
            "tiers": {"free": {"rates": eight, "quota": "1/day", "cool_down": {}}},
            "limits": {"anonymous": eight, "anonymous_cool_down": COOL_DOWN},
        }
    )
    cool_down = Limit(
        "cool-down", 20, 20, 10_000_000, "cool_down", pause_us=30_000_000, longest_us=600_000_000
    )
    assert settings.tiers["free"].to_limits()[-1] == cool_down
    assert settings.limits.to_anonymous()[-1] == cool_down._replace(
        capacity=3, rate=3, per=Per.IP, longest_us=120_000_000
    )
    assert settings.tiers["default"].cool_down is None


def test_without_a_key_the_address_counts() -> None:
    """All of a /64 together."""
    sections: dict[str, Any] = {
        "routes": [{"path": "/**", "auth": "none"}],
        "limits": {"anonymous": ["1/hour"], "anonymous_cool_down": COOL_DOWN},
    }

    def of(address: str) -> CheckRequest:
        return request_for()._replace(client_ip=address)

    async def run() -> None:
        rig = SharedRig(**sections)
        try:
            for number in range(3):
                await rig.decide(of(f"2001:db8::{number}"))
            assert (await rig.decide(of("2001:db8::ffff"))).code is COOLING
            assert (await rig.decide(of("2001:db8:0:1::1"))).code is ALLOWED
        finally:
            rig.hasher.close()

    asyncio.run(run())


def test_the_answer_tells_of_it_while_it_lasts_only(tmp_path: Path) -> None:
    """In the body and in the headers that clients know."""

    async def run() -> None:
        async with open_world(tmp_path, clock=FakeClock(), tiers={"default": SECOND}) as world:
            key = (await world.create_key()).text
            replies = [await world.ask(key=key) for _ in range(4)]
            for reply in replies[:3]:
                assert [item.value for item in parse_list(reply.headers["ratelimit"])] == ["per-second"]
            refused = replies[3]
            assert (refused.status, refused.code) == (429, "cooling_down")
            assert refused.problem["type"].endswith("#abnormal-usage-detected")
            assert refused.problem["violated-policies"] == ["per-second", "cool-down"]
            assert refused.headers["retry-after"] == "30"
            assert refused.headers["x-ratelimit-reset"] == "30"
            assert '"cool-down";q=3;w=10' in refused.headers["ratelimit-policy"]
            assert '"cool-down";r=0;t=30' in refused.headers["ratelimit"]

    asyncio.run(run())


def test_a_reload_keeps_it(tmp_path: Path) -> None:
    """With other numbers too: nobody is refused for longer than the new ones allow."""

    async def scenario(it: Changing) -> None:
        key = (await it.world.create_key()).text
        it.change(tiers={"default": ONE_AN_HOUR})
        for _ in range(4):
            await it.world.ask(key=key)
        it.change(tiers={"default": {"rates": ["1/hour", "5/day"], "cool_down": COOL_DOWN}})
        assert (await it.world.ask(key=key)).code == "cooling_down"
        shorter = {**COOL_DOWN, "cool_down": "1s", "longest": "2s"}
        it.change(tiers={"default": {"rates": [], "cool_down": shorter}})
        assert (await it.world.ask(key=key)).headers["retry-after"] == "2"
        it.change(tiers={"default": {"rates": []}})
        assert (await it.world.ask(key=key)).status == 200

    changing(tmp_path, scenario)


def test_it_is_explained_shown_and_reset(tmp_path: Path) -> None:
    """An explanation says what the next check says, and takes no violation."""

    async def explained(world: World, clock: FakeClock, key_id: str) -> tuple[str, dict[str, Any]]:
        states = LocalLimits(world.app.limits, clock)
        explainer = compiled.explainer(world.app.settings, world.management.store, states, clock)
        told = (await explainer.explain(Question(url="https://api.example.com/", key_id=key_id))).plain()
        return told["decision"]["code"], {limit["name"]: limit for limit in told["limits"]}["cool-down"]

    async def run() -> None:
        clock = FakeClock()
        async with open_world(tmp_path, clock=clock, tiers={"default": ONE_AN_HOUR}) as world:
            made = await world.create_key()
            key_id = made.record.key_id
            limits = world.app.admin._services.limits
            for left, code in ((3, "allowed"), (3, "rate_limited"), (2, "rate_limited"), (1, "cooling_down")):
                for _ in range(3):
                    told, standing = await explained(world, clock, key_id)
                    assert (told, standing["remaining"], standing["origin"]) == (code, left, "tier")
                reply = await world.ask(key=made.text)
                assert reply.status == 200 if code == "allowed" else reply.code == code
            *_, shown = (await limits.look(key_id)).plain()["limits"]
            assert (shown["remaining"], shown["retry_seconds"], shown["would_refuse"]) == (0, 30, True)
            assert await limits.reset(key_id, BY) == ("per-hour", "cool-down")
            assert (await world.ask(key=made.text)).status == 200

    asyncio.run(run())
