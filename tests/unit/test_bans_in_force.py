"""Bans in a whole extauth: what clients are told, what is logged and counted, and what outlives what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extauth.abuse.service import BanService
from extauth.dialects.base import Answer, RequestHead
from extauth.model import Code
from extauth.reporting.explained import Question
from extauth.server.connections import ConnectionLimits, Connections
from extauth.telemetry.collector import collector_for
from tests.answers import Reply
from tests.dialects import PROXIES
from tests.fakes import FakeClock
from tests.reloading import Changing, changing
from tests.waiting import eventually
from tests.world import BY, World, open_world

CLIENT = "192.0.2.7"
ABUSE: dict[str, Any] = {"per_address": {"failures": 3, "ban": "1m"}}


def with_world(folder: Path, scenario: Callable[[World, FakeClock], Awaitable[None]]) -> None:
    """Run a scenario in a world with a small budget; another one in the same folder is a restart."""

    async def run() -> None:
        clock = FakeClock()
        async with open_world(folder, clock=clock, abuse=ABUSE) as world:
            await scenario(world, clock)

    asyncio.run(run())


def operators(world: World, clock: FakeClock) -> BanService:
    """Return what the command line does, beside the server."""
    return BanService(world.management.store, clock)


async def fail(world: World, times: int = 3) -> list[Reply]:
    """Send keys that are no good."""
    return [await world.ask(key=f"no-key-{number}") for number in range(times)]


@pytest.mark.parametrize("name", PROXIES)
def test_clients_of_every_proxy_are_told_when_it_ends(tmp_path: Path, name: str) -> None:
    """429, `cooling_down`, an honest Retry-After, and nothing about limits or whose key it is."""

    async def scenario(world: World, clock: FakeClock) -> None:
        proxy, responder = PROXIES[name], world.app.responder
        await fail(world)
        clock.advance(seconds=13)
        lines = {
            b"host": b"api.example.com",
            b"x-request-id": b"r-1",
            b"x-extauth-client-ip": CLIENT.encode(),
            b"x-api-key": b"no-key",
        }
        answer = responder.respond(proxy.ask(b"GET", b"/", lines))
        assert isinstance(answer, Answer)
        reply = proxy.told(answer)
        assert (reply.status, reply.headers["retry-after"]) == (429, "47")
        problem = reply.problem
        assert (problem["code"], problem["status"], problem["request_id"]) == ("cooling_down", 429, "r-1")
        assert problem["type"].endswith("#abnormal-usage-detected")
        assert "violated-policies" not in problem
        assert (
            not {"x-ratelimit-limit", "ratelimit", "www-authenticate", "x-auth-key-id"} & reply.headers.keys()
        )

    with_world(tmp_path, scenario)


def test_a_ban_is_logged_and_counted(tmp_path: Path) -> None:
    """Its beginning, its end, each decision; and no key text anywhere."""

    async def scenario(world: World, clock: FakeClock) -> None:
        collector = collector_for(world.app, Connections(ConnectionLimits(), now=0), world.lines)

        def metrics(name: str) -> dict[str, float]:
            (family,) = [family for family in collector.collect() if family.name == name]
            return {
                value: sample.value
                for sample in family.samples
                for value in sample.labels.values()
                if sample.value
            }

        await fail(world, 5)
        assert metrics("extauth_bans") == {"automatic": 1}
        assert metrics("extauth_failed_authentications") == {"malformed": 3}
        assert metrics("extauth_ban_refusals") == {"ip": 2}
        await eventually(lambda: not world.app.parts.abuse.begun)
        clock.advance(seconds=60)
        await eventually(lambda: not world.app.parts.abuse.in_force)
        assert metrics("extauth_bans") == {}
        world.app.recorder.flush()
        lines = await world.logged()
        events = {line["event"]: line for line in lines}
        assert events["ban_began"]["level"] == "warning"
        assert events["ban_ended"]["subject"] == f"ip:{CLIENT}"
        reasons = [(line["code"], line.get("reason")) for line in lines if line["event"] == "decision"]
        assert reasons == [("invalid_key", "malformed")] * 3 + [("cooling_down", "banned")] * 2
        assert b"no-key" not in await world.log_bytes()

    with_world(tmp_path, scenario)


def test_a_ban_survives_a_restart(tmp_path: Path) -> None:
    """One that began by itself and one that an operator ordered, from the first check on."""

    async def before(world: World, clock: FakeClock) -> None:
        await fail(world)
        await operators(world, clock).add("user:user-1", timedelta(hours=1), BY)

    async def after(world: World, _clock: FakeClock) -> None:
        assert (await fail(world, 1))[0].headers["retry-after"] == "60"
        key = (await world.create_key()).text
        elsewhere = {"x-extauth-client-ip": "198.51.100.9"}
        assert (await world.ask(key=key, headers=elsewhere)).headers["retry-after"] == "3600"
        other = (await world.create_key("user-2")).text
        assert (await world.ask(key=other, headers=elsewhere)).status == 200

    with_world(tmp_path, before)
    with_world(tmp_path, after)


def test_an_operators_ban_and_its_lifting_hold_within_a_second(tmp_path: Path) -> None:
    """Beside a running server, of an address that has a verified key."""

    async def scenario(world: World, clock: FakeClock) -> None:
        key = (await world.create_key()).text
        assert (await world.ask(key=key)).status == 200
        monitor = world.app.parts.abuse
        await operators(world, clock).add(CLIENT, timedelta(hours=1), BY)
        await eventually(lambda: bool(monitor.in_force), within=1.0)
        assert (await world.ask(key=key)).code == "cooling_down"
        await operators(world, clock).lift(CLIENT, BY)
        await eventually(lambda: not monitor.in_force, within=1.0)
        assert (await world.ask(key=key)).status == 200

    with_world(tmp_path, scenario)


def test_a_reload_takes_the_budgets_over(tmp_path: Path) -> None:
    """What was counted stays, and so do bans; the allow-list holds at once."""

    async def scenario(it: Changing) -> None:
        await fail(it.world, 2)
        it.change(abuse={"per_address": {"failures": 3, "ban": "5m"}})
        codes = [reply.code for reply in await fail(it.world, 2)]
        assert codes == ["invalid_key", "cooling_down"]
        assert (await fail(it.world, 1))[0].headers["retry-after"] == "300"
        it.change(abuse={"allow": ["192.0.2.0/24"]})
        assert (await fail(it.world, 1))[0].code == "invalid_key"
        it.change(abuse={})
        assert (await fail(it.world, 1))[0].code == "cooling_down"

    changing(tmp_path, scenario, abuse={"per_address": {"failures": 9}}, clock=FakeClock())


def test_an_explanation_knows_of_bans(tmp_path: Path) -> None:
    """What the next check of it says, for a key that was used before."""

    async def scenario(world: World, clock: FakeClock) -> None:
        explain = world.app.admin._services.explainer.explain
        key = await world.create_key()
        asked = {"url": "https://api.example.com/", "client_ip": CLIENT}
        await fail(world)
        await eventually(lambda: not world.app.parts.abuse.begun)
        await world.management.store.count()
        without_key = (await explain(Question(**asked))).decision
        assert (without_key.code, without_key.retry_after) == (Code.COOLING_DOWN, 60)
        assert (await explain(Question(**asked, key_id=key.record.key_id))).decision.code is Code.ALLOWED
        await operators(world, clock).add(f"key:{key.record.key_id}", timedelta(hours=1), BY)
        with_key = (await explain(Question(**asked, key_id=key.record.key_id))).decision
        assert (with_key.code, with_key.reason) == (Code.COOLING_DOWN, "banned")

    with_world(tmp_path, scenario)


def test_the_readers_of_heads_hand_the_address_on(tmp_path: Path) -> None:
    """The ban is of the client, not of the proxy that asks."""

    async def scenario(world: World, _clock: FakeClock) -> None:
        await fail(world, 4)
        other = {b"host": b"h", b"x-request-id": b"r", b"x-extauth-client-ip": b"198.51.100.9"}
        answer = world.app.responder.respond(RequestHead(b"GET", b"/envoy/", {**other, b"x-api-key": b"no"}))
        assert isinstance(answer, Answer)
        assert answer.status == 401

    with_world(tmp_path, scenario)
