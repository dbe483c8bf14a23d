"""An explanation says what the next check says, takes nothing, and repeats no secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extauth.compiled import explainer
from extauth.errors import InvalidInputError
from extauth.keys.asked import IssuedKey
from extauth.limits.spent import KNOWN_FOR_US
from extauth.reporting.explained import Explanation, Question
from extauth.stores.states import LocalLimits
from tests.fakes import FakeClock
from tests.keys import entry, mint
from tests.world import BY, World, open_world

HOST = "https://api.example.com"
ADDRESS = "192.0.2.7"
SECTIONS: dict[str, Any] = {
    # So many keys are refused here that whoever asks would be banned in the middle.
    "abuse": {"enabled": False},
    "default_route": "deny",
    "routes": [
        {"path": "/open/**", "auth": "none"},
        {"path": "/maybe/{id}", "auth": "optional"},
        {"path": "/orders/**", "methods": ["GET", "HEAD"], "scopes": ["orders:read"], "name": "orders"},
        {"path": "/orders/**", "scopes": ["orders:write"], "cost": 3, "limits": ["5/minute"]},
        {"path": "/hosted", "hosts": ["*.example.com"]},
        {"path": "/trial/**", "shadow": True, "cost": 2},
        {"path": "/**", "methods": ["GET"], "name": "rest"},
    ],
    "tiers": {
        "default": {"rates": ["2/second burst 4", {"rate": "100/minute", "per": "user", "name": "user"}]},
        "pro": {
            "rates": [{"rate": "6/minute", "algorithm": "sliding_window"}],
            "quota": "8/day",
        },
        "patient": {"rates": ["9/minute"], "cool_down": {}},
        "odd": {"rates": [{"rate": "3/hour", "shadow": True}, {"rate": "9/minute", "name": "hard"}]},
    },
    "limits": {
        "rates": [{"rate": "60/minute", "per": "ip", "name": "address"}],
        "anonymous": ["3/minute"],
    },
}
TARGETS = [
    ("GET", "/open/x"),
    ("GET", "/maybe/1"),
    ("GET", "/orders/1?page=2"),
    ("POST", "/orders"),
    ("GET", "/hosted"),
    ("PUT", "/trial/a"),
    ("GET", "/elsewhere"),
    ("DELETE", "/elsewhere"),
    ("GET", "/a/../b"),
    ("GET", "/%61"),
    ("get", "/hosted"),
    ("BREW", "/hosted"),
]


class Explaining:
    """A world and what explains its requests."""

    def __init__(self, world: World, clock: FakeClock) -> None:
        self.world = world
        self.clock = clock
        states = LocalLimits(world.app.limits, clock)
        self._explainer = explainer(world.app.settings, world.management.store, states, clock)

    async def explain(self, method: str, url: str, **asked: Any) -> Explanation:
        """Explain a request."""
        return await self._explainer.explain(Question(method=method, url=url, **asked))

    async def as_checked(self, method: str, path: str, key: IssuedKey | None) -> Explanation:
        """Explain a request, make it, and compare the two."""
        # What a refusal says of other limits may be this old.
        self.clock.advance(microseconds=KNOWN_FOR_US)
        key_id = "" if key is None else key.record.key_id
        told = await self.explain(method, HOST + path, key_id=key_id, client_ip=ADDRESS)
        headers = {} if key is None else {"authorization": f"Bearer {key.text}"}
        reply = await self.world.ask(path, method=method, headers=headers)
        answer = told.answers["envoy"]
        assert (told.status, told.decision.code, answer.status, dict(answer.headers)) == (
            reply.status,
            reply.code,
            reply.status,
            reply.headers,
        ), (method, path)
        return told


def with_world(folder: Path, scenario: Callable[[Explaining], Awaitable[None]], **sections: Any) -> None:
    """Run a scenario in a world."""

    async def run() -> None:
        clock = FakeClock()
        async with open_world(folder, clock=clock, **(sections or SECTIONS)) as world:
            await scenario(Explaining(world, clock))

    asyncio.run(run())


async def keys_of(world: World) -> dict[str, IssuedKey | None]:
    """Make keys of every kind, and none."""
    service = world.management.service
    keys: dict[str, IssuedKey | None] = {"none": None}
    keys["plain"] = await world.create_key()
    keys["reader"] = await world.create_key(scopes=("orders:read",))
    keys["pro"] = await world.create_key(tier="pro", scopes=("orders:*",))
    keys["odd"] = await world.create_key(tier="odd", scopes=("orders:*",))
    keys["own"] = await world.create_key(limits={"rates": ["3/minute"]}, scopes=("*",))
    keys["short"] = await world.create_key(lifetime=timedelta(seconds=2))
    for name in ("disabled", "revoked", "rotated", "grace"):
        keys[name] = made = await world.create_key()
        key_id = made.record.key_id
        if name == "disabled":
            await service.disable(key_id, BY)
        elif name == "revoked":
            await service.revoke(key_id, BY)
        else:
            await service.rotate(key_id, BY, grace=timedelta(hours=name == "grace"))
    return keys


def test_an_explanation_says_what_the_next_check_says(tmp_path: Path) -> None:
    """Status, code and every header, for each kind of key, route and limit, with room and without."""
    seen: set[str] = set()

    async def scenario(it: Explaining) -> None:
        keys = await keys_of(it.world)
        for _ in range(3):
            for key in keys.values():
                for method, path in TARGETS:
                    seen.add((await it.as_checked(method, path, key)).decision.code.value)

    with_world(tmp_path, scenario)
    assert seen == {
        "allowed",
        "ambiguous_path",
        "missing_key",
        "invalid_key",
        "insufficient_scope",
        "route_denied",
        "rate_limited",
        "quota_exceeded",
    }


def test_an_explanation_of_a_key_whose_tier_is_gone(tmp_path: Path) -> None:
    """The key is good, and nobody can say what its limits are: as the check has it."""

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key(tier="default")
        store = it.world.management.store
        record = await store.get(key.record.key_id)
        assert record is not None
        await store.save(replace(record, tier="gone", version=2), entry(record.key_id))
        told = await it.as_checked("GET", "/hosted", key)
        assert told.key is not None
        assert "'gone'" in told.key.problem
        assert told.limits == ()

    with_world(tmp_path, scenario)


def test_nothing_is_taken_counted_or_logged(tmp_path: Path) -> None:
    """However often somebody asks, and also where limits are spent."""

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key()
        for _ in range(50):
            told = await it.explain("GET", f"{HOST}/hosted", key_id=key.record.key_id, client_ip=ADDRESS)
            assert told.decision.code == "allowed"
        assert len(it.world.app.limits) == 0
        it.world.app.recorder.flush()
        counts = it.world.app.counts.by_dialect["envoy"]
        assert sum(counts.decisions.values()) == 0
        assert not [line for line in await it.world.logged() if line["event"] == "decision"]
        assert it.world.app.uses.pending == 0

    with_world(tmp_path, scenario)


def test_a_cool_down_takes_nothing_whatever_the_route_costs(tmp_path: Path) -> None:
    """It counts refusals, one each."""

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key(tier="patient", scopes=("orders:*",))
        told = await it.explain("POST", f"{HOST}/orders", key_id=key.record.key_id, client_ip=ADDRESS)
        costs = {limit["name"]: limit["cost"] for limit in told.plain()["limits"]}
        assert (costs["per-minute"], costs["cool-down"]) == (3, 0)

    with_world(tmp_path, scenario)


def test_limits_are_shown_as_they_stand_before_the_request(tmp_path: Path) -> None:
    """With whose they are, what is left and when that changes, those in shadow among them."""

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key(tier="odd", scopes=("orders:*",))
        for _ in range(3):
            await it.as_checked("GET", "/hosted", key)
        told = await it.explain("POST", f"{HOST}/orders", key_id=key.record.key_id, client_ip=ADDRESS)
        shown = {limit["name"]: limit for limit in told.plain()["limits"]}
        assert {name: (limit["origin"], limit["per"]) for name, limit in shown.items()} == {
            "hard": ("tier", "key"),
            "route-per-minute": ("route", "key"),
            "address": ("everybody", "ip"),
            "per-hour": ("tier", "key"),
        }
        assert [shown[name]["remaining"] for name in shown] == [6, 5, 57, 0]
        assert [shown[name]["would_refuse"] for name in shown] == [False, False, False, True]
        assert {limit["cost"] for limit in shown.values()} == {3}
        assert shown["hard"]["policy"] == '"hard";q=9;w=60'
        assert (shown["per-hour"]["shadow"], shown["per-hour"]["retry_seconds"]) == (True, 3600)
        assert told.decision.code == "allowed"
        assert told.decision.shadowed == ("per-hour",)

    with_world(tmp_path, scenario)


def test_limits_are_shown_of_a_request_that_lacks_a_scope(tmp_path: Path) -> None:
    """What is missing besides is seen at once."""

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key(scopes=("orders:read",))
        told = await it.as_checked("POST", "/orders", key)
        assert told.plain()["scopes"] == {
            "needed": ["orders:write"],
            "held": ["orders:read"],
            "missing": ["orders:write"],
        }
        assert [limit.limit.name for limit in told.limits] == [
            "per-second",
            "user",
            "route-per-minute",
            "address",
        ]

    with_world(tmp_path, scenario)


def test_without_an_address_its_limits_are_untold(tmp_path: Path) -> None:
    """Nobody knows whose they would be: no state is shown, and they refuse nothing."""
    limits = {"rates": [{"rate": "1/minute", "per": "ip", "name": "address"}]}

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key()
        await it.world.ask("/", key=key.text, headers={"x-extauth-client-ip": ""})
        told = await it.explain("GET", f"{HOST}/", key_id=key.record.key_id)
        assert told.decision.code == "allowed"
        shown = {limit["name"]: limit["remaining"] for limit in told.plain()["limits"]}
        assert shown == {"per-second": 199, "address": None}

    with_world(tmp_path, scenario, limits=limits)


@pytest.mark.parametrize(
    ("method", "url", "why"),
    [
        ("GET", f"{HOST}/hosted", "the path fits /hosted, any method fits, the host fits one of *.example"),
        ("GET", f"{HOST}/orders/1", "the path fits /orders/**, the method is one of GET, HEAD, any host"),
        ("DELETE", f"{HOST}/x", "no route fits, so the default route applies"),
        ("GET", f"{HOST}/a//b", "the path can be read in more than one way"),
        ("get", f"{HOST}/a", "the method is not, to the letter, one of GET, HEAD"),
        ("GET", "https://a b/a", "the host can be read in more than one way"),
    ],
)
def test_an_explanation_says_why_a_route_applies(tmp_path: Path, method: str, url: str, why: str) -> None:
    """And of what nobody may decide about, which part is doubtful."""

    async def scenario(it: Explaining) -> None:
        assert why in (await it.explain(method, url)).match.why

    with_world(tmp_path, scenario)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://api.example.com", "api.example.com", "/"),
        ("HTTP://API.example.com:8080/a?b=/c#d", "API.example.com:8080", "/a"),
        ("https://api.example.com?b", "api.example.com", "/"),
        ("/v1/orders", "", "/v1/orders"),
        ("https://[2001:db8::1]:9/a/./b", "[2001:db8::1]:9", "/a/./b"),
    ],
)
def test_a_url_is_taken_as_it_would_arrive(tmp_path: Path, url: str, host: str, path: str) -> None:
    """Nothing of the path is resolved or decoded: what is doubtful about it must stay so."""

    async def scenario(it: Explaining) -> None:
        target = (await it.explain("GET", url)).target
        assert (target.host, target.path) == (host, path)

    with_world(tmp_path, scenario)


TEXT = mint()[0]


@pytest.mark.parametrize(
    ("asked", "field", "about"),
    [
        ({"key_id": TEXT}, "key_id", "looks like a key"),
        ({"url": f"{HOST}/a?api_key={TEXT}"}, "url", "looks like a key"),
        ({"url": f"{HOST}/{TEXT}/b"}, "url", "looks like a key"),
        ({"method": TEXT}, "method", "looks like a key"),
        ({"client_ip": TEXT}, "client_ip", "looks like a key"),
        ({"key_id": "AAAAbbbb0001"}, "key_id", "no key with this id"),
        ({"key_id": "secret-of-another-system"}, "key_id", "is no key id"),
        ({"client_ip": "somewhere"}, "client_ip", "must be an IP address"),
        ({"url": ""}, "url", "must be a URL"),
        ({"url": "hosted"}, "url", "must be a URL"),
        ({"url": "ftp://api.example.com/"}, "url", "must be a URL"),
        ({"url": "https://user:secret@api.example.com/"}, "url", "must be a URL"),
        ({"url": f"{HOST}/{'a' * 9_000}"}, "url", "must be a URL"),
        ({"url": f"{HOST}/é"}, "url", "must be in ASCII"),
        ({"method": "\udcff"}, "method", "must be in ASCII"),
    ],
)
def test_what_cannot_be_explained_is_refused_and_not_repeated(
    tmp_path: Path, asked: dict[str, str], field: str, about: str
) -> None:
    """Least of all a key that stands in the wrong place."""

    async def scenario(it: Explaining) -> None:
        with pytest.raises(InvalidInputError) as refused:
            await it.explain(**{"method": "GET", "url": f"{HOST}/", **asked})
        ((name, mistake),) = refused.value.mistakes
        assert (name, about in mistake) == (field, True)
        (value,) = asked.values()
        assert not value or value not in str(refused.value)

    with_world(tmp_path, scenario)


def test_an_explanation_holds_no_secret(tmp_path: Path) -> None:
    """Neither the hash, nor a text that would pass for a key."""

    async def scenario(it: Explaining) -> None:
        key = await it.world.create_key()
        told = await it.explain("GET", f"{HOST}/open/x", key_id=key.record.key_id)
        text = json.dumps(told.plain())
        assert key.text[-12:] not in text
        assert key.record.hashed_key not in text
        assert "000000" not in text

    with_world(tmp_path, scenario)


def test_the_state_of_a_key_is_told_in_a_word(tmp_path: Path) -> None:
    """As the command line calls it."""

    async def scenario(it: Explaining) -> None:
        keys = await keys_of(it.world)
        it.clock.advance(seconds=2)
        states = {}
        for name, key in keys.items():
            if key is not None:
                told = await it.explain("GET", f"{HOST}/hosted", key_id=key.record.key_id)
                assert told.key is not None
                states[name] = told.key.state
        assert states == {
            **dict.fromkeys(("plain", "reader", "pro", "odd", "own"), "active"),
            "short": "expired",
            "disabled": "disabled",
            "revoked": "revoked",
            "rotated": "rotated",
            "grace": "in grace",
        }

    with_world(tmp_path, scenario)
