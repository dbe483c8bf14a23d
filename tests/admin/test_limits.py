"""The admin API on limits: how they stand, giving back what was spent, explaining a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauth.admin.limit_models import ExplanationRecord, KeyLimitsRecord, LimitsReset
from extauth.keys.scopes import KEYS_READ
from tests.admin.console import Console, mistakes, problem, with_console
from tests.keys import mint

SECTIONS: dict[str, Any] = {
    "tiers": {
        "free": {
            "rates": ["2/minute", {"rate": "9/minute", "per": "user", "name": "user"}],
            "quota": "50/month",
        },
    },
    "routes": [{"path": "/heavy", "limits": ["1/hour"], "cost": 1}],
    "limits": {
        "rates": [
            {"rate": "1000/minute", "name": "all"},
            {"rate": "60/minute", "per": "ip", "name": "ip"},
            {"rate": "70/minute", "per": "route", "name": "route"},
        ]
    },
}


async def standings(it: Console, key_id: str) -> dict[str, tuple[Any, ...]]:
    """Return origin, what is left and whether it would refuse, by name."""
    answer = await it.ask("GET", f"/keys/{key_id}/limits")
    assert answer.status_code == 200, answer.text
    shown = KeyLimitsRecord.model_validate(answer.json())
    assert (shown.key_id, shown.problem) == (key_id, "")
    return {limit.name: (limit.origin.value, limit.remaining, limit.would_refuse) for limit in shown.limits}


async def checks(it: Console, key: str, path: str = "/", *, times: int = 1) -> list[int]:
    """Ask as a proxy does; return the statuses."""
    return [(await it.world.ask(path, key=key)).status for _ in range(times)]


def test_the_limits_of_a_key_are_shown_as_they_stand(tmp_path: Path) -> None:
    """Its tier's and everybody's; of those by address or route nobody can tell. Looking takes nothing."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        assert await checks(it, made["key"], times=3) == [200, 200, 429]
        for _ in range(2):
            assert await standings(it, made["key_id"]) == {
                "per-minute": ("tier", 0, True),
                "user": ("tier", 7, False),
                "quota": ("tier", 48, False),
                "all": ("everybody", 998, False),
                "ip": ("everybody", None, None),
                "route": ("everybody", None, None),
            }
        it.clock.advance(seconds=30)
        assert (await standings(it, made["key_id"]))["per-minute"] == ("tier", 1, False)

    with_console(tmp_path, scenario, **SECTIONS)


def test_limits_tell_how_much_comes_back_and_when(tmp_path: Path) -> None:
    """In lowest terms: two a minute are one in 30 s; a quota's month has no length."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        answer = await it.ask("GET", f"/keys/{made['key_id']}/limits")
        told = {limit["name"]: (limit["rate"], limit["period_seconds"]) for limit in answer.json()["limits"]}
        assert (told["per-minute"], told["quota"]) == ((1, 30.0), (50, None))

    with_console(tmp_path, scenario, **SECTIONS)


def test_own_limits_are_told_from_those_of_the_tier(tmp_path: Path) -> None:
    """Also where they have the same name."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free", limits={"rates": ["5/minute"]})
        await checks(it, made["key"])
        assert (await standings(it, made["key_id"]))["per-minute"] == ("key", 4, False)

    with_console(tmp_path, scenario, **SECTIONS)


def test_limits_that_nobody_knows_are_told_as_such(tmp_path: Path) -> None:
    """A tier that is gone is a problem to be shown, not a fault."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        it.world.app.admin._services.limits._planner._tiers = {}
        shown = (await it.ask("GET", f"/keys/{made['key_id']}/limits")).json()
        assert shown == {
            "key_id": made["key_id"],
            "limits": [],
            "in_flight": [],
            "problem": "tier 'free' is not configured",
        }

    with_console(tmp_path, scenario, **SECTIONS)


def test_a_reset_gives_back_what_the_key_alone_spent(tmp_path: Path) -> None:
    """At once, routes' limits too; what it shares with other keys stays spent."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        assert await checks(it, made["key"], "/heavy", times=2) == [200, 429]
        assert await checks(it, made["key"], times=2) == [200, 429]
        answer = await it.ask("POST", f"/keys/{made['key_id']}/limits/reset")
        assert answer.status_code == 200, answer.text
        told = LimitsReset.model_validate(answer.json())
        assert set(told.reset) == {"per-minute", "quota", "route-per-hour"}
        assert await standings(it, made["key_id"]) == {
            "per-minute": ("tier", 2, False),
            "user": ("tier", 7, False),
            "quota": ("tier", 50, False),
            "all": ("everybody", 998, False),
            "ip": ("everybody", None, None),
            "route": ("everybody", None, None),
        }
        assert await checks(it, made["key"], "/heavy") == [200]
        assert await checks(it, made["key"], times=2) == [200, 429]

    with_console(tmp_path, scenario, **SECTIONS)


def test_a_reset_is_audited_and_logged(tmp_path: Path) -> None:
    """Who, and which limits; once for each."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        await it.ask("POST", f"/keys/{made['key_id']}/limits/reset", json={})
        (entry,) = (await it.ask("GET", f"/audit?action=key.limits_reset&key_id={made['key_id']}")).json()[
            "entries"
        ]
        assert entry["actor"].startswith("key:")
        assert entry["source"] == "192.0.2.9"
        assert entry["after"] == {"limits": ["per-minute", "quota", "route-per-hour"]}
        (line,) = [line for line in await it.events("admin_change") if line["operation"] == "resetKeyLimits"]
        assert line["key_id"] == made["key_id"]

    with_console(tmp_path, scenario, **SECTIONS)


def test_a_reset_of_another_version_is_refused(tmp_path: Path) -> None:
    """And resets nothing."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        await checks(it, made["key"])
        path = f"/keys/{made['key_id']}/limits/reset"
        answer = await it.ask("POST", path, headers={"if-match": '"7"'})
        problem(answer, 412, "precondition_failed")
        assert answer.headers["etag"] == '"1"'
        assert (await standings(it, made["key_id"]))["per-minute"][1] == 1
        assert (await it.ask("POST", path, headers={"if-match": '"1"'})).status_code == 200

    with_console(tmp_path, scenario, **SECTIONS)


def test_who_may_only_read_resets_nothing(tmp_path: Path) -> None:
    """Reading shows limits and explains; a reset is a change. What isn't there can't be reset."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        reader = await it.key_with(KEYS_READ)
        assert (await it.ask("GET", f"/keys/{made['key_id']}/limits", key=reader)).status_code == 200
        body = {"url": "https://api.example.com/"}
        assert (await it.ask("POST", "/explain", key=reader, json=body)).status_code == 200
        path = f"/keys/{made['key_id']}/limits/reset"
        problem(await it.ask("POST", path, key=reader), 403, "insufficient_scope")
        problem(await it.ask("POST", "/keys/AAAAbbbb0000/limits/reset"), 404, "key_not_found")
        problem(await it.ask("GET", "/keys/AAAAbbbb0000/limits"), 404, "key_not_found")

    with_console(tmp_path, scenario, **SECTIONS)


def test_a_request_is_explained(tmp_path: Path) -> None:
    """With all that the document promises, and without a log line of a decision or of a change."""

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        await checks(it, made["key"], times=2)
        before = await it.world.logged()
        body = {"url": "https://api.example.com/x", "key_id": made["key_id"], "client_ip": "192.0.2.7"}
        answer = await it.ask("POST", "/explain", json=body)
        assert answer.status_code == 200, answer.text
        told = ExplanationRecord.model_validate(answer.json())
        assert (told.decision.code, told.decision.violated) == ("rate_limited", ["per-minute"])
        assert told.answers["nginx"].status == 403
        assert told.answers["envoy"].status == 429
        after = (await it.world.logged())[len(before) :]
        assert [line for line in after if line.get("logger") != "httpx"] == []

    with_console(tmp_path, scenario, **SECTIONS)


def test_requests_in_flight_are_shown(tmp_path: Path) -> None:
    """Whose limit it is, what it says, and how many are in flight where the request tells whose."""
    tier = {"rates": ["9/minute"], "concurrency": {"max": 2, "queue": 8, "wait": "1s", "ttl": "2m"}}
    routes = [
        {"path": "/each", "name": "each", "timeout": "10m", "concurrency": {"max": 5, "per": "ip"}},
        {"path": "/all", "name": "all", "concurrency": {"max": 7, "per": "route"}},
    ]

    async def scenario(it: Console) -> None:
        made = await it.create(tier="free")
        own = await it.create(tier="free", limits={"concurrency": {"max": 3}})
        assert await checks(it, made["key"], "/all") + await checks(it, own["key"], "/all") == [200, 200]

        async def shown(method: str, path: str, **asked: Any) -> list[tuple[Any, ...]]:
            record = KeyLimitsRecord if method == "GET" else ExplanationRecord
            told = record.model_validate((await it.ask(method, path, **asked)).json())
            return [tuple(each.model_dump().values()) for each in told.in_flight]

        of_tier = ("concurrency", "tier", "key", 2, 1, 8, 1000)
        assert await shown("GET", f"/keys/{made['key_id']}/limits") == [(*of_tier, 120)]
        of_key = ("concurrency", "key", "key", 3, 1, 3, 25, 60)
        assert await shown("GET", f"/keys/{own['key_id']}/limits") == [of_key]
        url = {"url": "https://api.example.com/all", "key_id": made["key_id"]}
        of_route = ("route-concurrency", "route", "route", 7, 2, 7, 25, 60)
        assert await shown("POST", "/explain", json=url) == [(*of_tier, 120), of_route]
        url["url"] = "https://api.example.com/each"
        unknown = ("route-concurrency", "route", "ip", 5, None, 5, 25, 600)
        assert await shown("POST", "/explain", json=url) == [(*of_tier, 600), unknown]
        url["client_ip"] = "192.0.2.7"
        assert (await shown("POST", "/explain", json=url))[1][4] == 0

    with_console(tmp_path, scenario, tiers={"free": tier}, routes=routes)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "https://api.example.com/", "key_id": "AAAAbbbb0000"}, "/key_id"),
        ({"url": "https://api.example.com/", "key_id": mint()[0]}, "/key_id"),
        ({"url": "nowhere"}, "/url"),
        ({"url": "https://api.example.com/", "client_ip": "x"}, "/client_ip"),
        ({}, "/url"),
    ],
)
def test_what_cannot_be_explained_is_refused(tmp_path: Path, body: dict[str, str], field: str) -> None:
    """With the field that is wrong, and without what stands in it."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("POST", "/explain", json=body)
        assert list(mistakes(answer)) == [field]
        assert not any(len(value) > 40 and value in answer.text for value in body.values())

    with_console(tmp_path, scenario, **SECTIONS)
