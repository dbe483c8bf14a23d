"""How much is used and what was refused, as the admin API tells it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extauth.keys.scopes import KEYS_READ, USAGE_READ
from extauth.stores.usage import Reading, Selection
from extauth.usage.question import MOST_POINTS, MOST_POINTS_TOGETHER
from extauth.usage.report import OUTCOME_NAMES
from tests.admin.console import Console, mistakes, problem, with_console
from tests.fakes import START

ROUTES = [
    {"path": "/orders/**", "name": "orders", "scopes": ["orders:read"]},
    {"path": "/open", "name": "open", "auth": "none"},
]
TIERS = {"free": {"rates": ["3/day"]}, "pro": {"rates": ["1000/second"]}}


async def use(console: Console, key: str | None, *paths: str) -> None:
    """Ask for these paths with a key, and have what is counted written."""
    for path in paths:
        await console.world.ask(path, key=key)
    console.world.app.recorder.flush()
    usage = console.world.app.recorder.usage
    assert usage is not None
    await usage.write()


async def told(console: Console, **query: Any) -> Any:
    """Return the answer to a question about usage."""
    answer = await console.ask("GET", "/usage", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def totals(told: Any) -> dict[str, tuple[int, ...]]:
    """Return what was counted of each group, by outcome; its points must come to the same."""
    for series in told["series"]:
        for name in OUTCOME_NAMES:
            assert sum(point[name] for point in series["points"]) == series["total"][name]
    return {
        series["group"]: tuple(series["total"][name] for name in OUTCOME_NAMES) for series in told["series"]
    }


def test_usage_is_told_by_key_user_route_and_tier(tmp_path: Path) -> None:
    """The busiest first, refusals among them, and what came without a key under none."""

    async def work(console: Console) -> None:
        alice = await console.create(user_id="alice", tier="free", scopes=["orders:read"])
        other = await console.create(user_id="alice", tier="pro")
        await use(console, alice["key"], *["/orders/1"] * 4)
        await use(console, other["key"], *["/else"] * 4, "/orders/2")
        await use(console, None, "/open", "/orders/3")
        await use(console, "nonsense", "/orders/3")
        assert totals(await told(console)) == {"": (8, 1, 0, 3, 0)}
        assert totals(await told(console, by="key")) == {
            other["key_id"]: (4, 0, 0, 1, 0),
            alice["key_id"]: (3, 1, 0, 0, 0),
            "": (1, 0, 0, 2, 0),
        }
        by_user = totals(await told(console, by="user"))
        assert [*by_user.items()] == [("alice", (7, 1, 0, 1, 0)), ("", (1, 0, 0, 2, 0))]
        by_route = totals(await told(console, by="route", step="1d"))
        assert by_route == {"orders": (3, 1, 0, 3, 0), "default": (4, 0, 0, 0, 0), "open": (1, 0, 0, 0, 0)}
        assert totals(await told(console, by="tier", route="orders")) == {
            "free": (3, 1, 0, 0, 0),
            "": (0, 0, 0, 2, 0),
            "pro": (0, 0, 0, 1, 0),
        }
        assert totals(await told(console, by="key", user_id="alice", route="default")) == {
            other["key_id"]: (4, 0, 0, 0, 0)
        }
        assert totals(await told(console, by="key", limit=1)) == {other["key_id"]: (4, 0, 0, 1, 0)}
        assert totals(await told(console, by="route", key_id=alice["key_id"])) == {"orders": (3, 1, 0, 0, 0)}
        assert totals(await told(console, user_id="alice", tier="pro")) == {"": (4, 0, 0, 1, 0)}
        assert totals(await told(console, by="key", user_id="bob")) == {}

    with_console(tmp_path, work, routes=ROUTES, tiers=TIERS)


def test_an_answer_has_a_point_for_each_step(tmp_path: Path) -> None:
    """From the step that `from` is in to the one that `to` ends in; estimates where there is something."""

    async def work(console: Console) -> None:
        await use(console, None, "/open")
        console.clock.advance(seconds=61)
        await use(console, None, "/open", "/open")
        body = await told(console, **{"from": "2026-03-01T11:59:30Z", "to": "2026-03-01T14:02:00+02:00"})
        assert {name: body[name] for name in ("from", "to", "step", "by")} == {
            "from": "2026-03-01T11:59:00Z",
            "to": "2026-03-01T12:02:00Z",
            "step": "1m",
            "by": "none",
        }
        (series,) = body["series"]
        assert [(point["at"], point["allowed"]) for point in series["points"]] == [
            ("2026-03-01T11:59:00Z", 0),
            ("2026-03-01T12:00:00Z", 1),
            ("2026-03-01T12:01:00Z", 2),
        ]
        assert series["points"][0]["latency_us"] == {"sum": 0, "p50": None, "p99": None}
        assert series["total"] == {
            "allowed": 3,
            "rate_limited": 0,
            "throttled": 0,
            "refused": 0,
            "failed": 0,
            "latency_us": {"sum": 0, "p50": 12, "p99": 25},
            "upstream": {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "duration_us_sum": 0, "reported": 0},
        }
        last_day = await told(console)
        assert (last_day["step"], len(last_day["series"][0]["points"])) == ("1h", 25)
        (nothing,) = (await told(console, key_id="AAAAbbbb0001"))["series"]
        assert (nothing["group"], nothing["total"]["allowed"]) == ("", 0)

    with_console(tmp_path, work, routes=ROUTES)


def test_what_can_t_be_told_is_refused(tmp_path: Path) -> None:
    """With the parameter that is to blame, and what to do."""

    async def blamed(console: Console, **query: str) -> dict[str, str]:
        return mistakes(await console.ask("GET", "/usage", params=query), 400, "invalid_query")

    async def work(console: Console) -> None:
        assert (await blamed(console, step="5m", by="color", limit="101")).keys() == {"step", "by", "limit"}
        assert (await blamed(console, to="2026-03-01T00:00:00Z", **{"from": "2026-03-01T00:00:00Z"})) == {
            "to": "must be later than from"
        }
        since = (START - timedelta(minutes=MOST_POINTS + 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fine = await blamed(console, step="1m", **{"from": since})
        assert fine["step"].endswith("ask for a longer step or a shorter time")
        many = {"from": "2026-02-01T12:00:00Z", "step": "1h", "by": "user"}
        assert (await blamed(console, **many, limit="30"))["limit"].startswith("must be at most 22: ")
        assert (await blamed(console, key_id="a", user_id="b")).keys() == {"user_id"}
        assert (await blamed(console, key_id="a", by="user")).keys() == {"by"}
        assert (await blamed(console, **{"from": "yesterday"})).keys() == {"from"}
        key = await console.key_with(KEYS_READ)
        problem(await console.ask("GET", "/usage", key=key), 403, "insufficient_scope")
        key = await console.key_with(USAGE_READ)
        assert (await console.ask("GET", "/usage", key=key)).status_code == 200

    with_console(tmp_path, work)


def test_as_many_points_as_are_allowed_are_told(tmp_path: Path) -> None:
    """One series may be as fine as a series gets, whatever the limit is; several may reach the bound."""
    since = (START - timedelta(hours=MOST_POINTS - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fine = {"from": since, "step": "1h"}

    async def work(console: Console) -> None:
        for one in ({}, {"by": "key", "key_id": "k1"}, {"by": "user", "user_id": "alice"}):
            await told(console, limit=100, **one, **fine)
        await told(console, by="user", limit=MOST_POINTS_TOGETHER // MOST_POINTS, **fine)

    with_console(tmp_path, work)


def test_the_busiest_keys_of_a_user_are_found_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many they are and however fine the steps: no reading has more than an answer may have."""
    since = (START - timedelta(hours=MOST_POINTS - 1)).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def work(console: Console) -> None:
        store = console.world.app.parts.usage
        sizes: list[int] = []
        made = [await console.create(user_id="alice", tier="pro") for _ in range(8)]
        for number, key in enumerate(made, 1):
            await use(console, key["key"], *["/else"] * number)
        read = store.read

        async def watched(asked: Selection) -> Sequence[Reading]:
            sizes.append(len(asked.names) * (asked.until - asked.since) // asked.step.seconds)
            return await read(asked)

        monkeypatch.setattr(store, "read", watched)
        found = await told(console, by="key", user_id="alice", limit=6, step="1h", **{"from": since})
        assert [*totals(found)] == [key["key_id"] for key in reversed(made[2:])]
        assert max(sizes) <= MOST_POINTS_TOGETHER
        assert len(sizes) == 3

    with_console(tmp_path, work, routes=ROUTES, tiers=TIERS)


def test_the_latest_refusals_of_a_key(tmp_path: Path) -> None:
    """The newest first, with what an operator needs, and nothing that looks like a key."""

    async def work(console: Console) -> None:
        key = await console.create(tier="free", scopes=["orders:read"])
        path = f"/keys/{key['key_id']}/refusals"
        assert (await console.ask("GET", path)).json() == {"refusals": []}
        await use(console, key["key"], *["/orders/1"] * 3, f"/orders/{key['key']}?q=1")
        console.clock.advance(seconds=1)
        await console.ask("POST", f"/keys/{key['key_id']}/disable")
        await use(console, key["key"], "/orders/2")
        first, second = (await console.ask("GET", path)).json()["refusals"]
        assert (first["code"], first["reason"], first["path"]) == ("invalid_key", "disabled", "/orders/2")
        assert second["at"] == "2026-03-01T12:00:00.000Z"
        assert (second["code"], second["route"], second["violated"]) == (
            "rate_limited",
            "orders",
            ["per-day"],
        )
        assert (second["method"], second["retry_after"] > 0) == ("GET", True)
        assert key["key"][-12:] not in second["path"]
        assert second["path"].startswith("/orders/xa_live_")
        console.clock.advance(seconds=7 * 86_400 + 1)
        assert (await console.ask("GET", path)).json() == {"refusals": []}
        problem(await console.ask("GET", "/keys/AAAAbbbb0001/refusals"), 404, "key_not_found")

    with_console(tmp_path, work, routes=ROUTES, tiers=TIERS)


def test_without_counting_nothing_is_told(tmp_path: Path) -> None:
    """And no series is made up."""

    async def work(console: Console) -> None:
        assert console.world.app.recorder.usage is None
        await console.world.ask("/open")
        assert totals(await told(console)) == {"": (0, 0, 0, 0, 0)}
        assert totals(await told(console, by="key")) == {}

    with_console(tmp_path, work, routes=ROUTES, usage={"enabled": False})
