"""The settings of requests in flight: what is written is what is counted, and what can't be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from extauth.compiled import planner, route_table
from extauth.errors import ConfigError
from extauth.limits.plan import PLAIN_CHARGE
from extauth.model import Limit, Per, Target
from extauth.settings.concurrency import ConcurrencySettings
from extauth.settings.load import load_settings
from extauth.settings.model import Settings, TierSettings
from extauth.settings.routing import RouteSettings, parse_own_limits
from extauth.throttle.slots import Concurrency
from tests.keys import record

MS = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
FOUR = {"max": 4}


def concurrency(**fields: Any) -> Concurrency:
    """Turn what is written into what is counted by."""
    return ConcurrencySettings.model_validate(fields).to_concurrency()


def problem_of(**sections: Any) -> str:
    """Return why settings are refused."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(sections)
    return str(caught.value)


def test_all_of_it_arrives() -> None:
    """Numbers as they are, times in microseconds."""
    written = {"max": 4, "per": "user", "queue": 8, "wait": "250ms", "ttl": "2m"}
    expected = Concurrency(most=4, lease_us=2 * MINUTE, queue=8, wait_us=250 * MS, per=Per.USER)
    assert concurrency(**written) == expected
    assert expected.name == "concurrency"


def test_without_a_queue_only_late_reports_are_waited_for() -> None:
    """As many as there can be, `max`, for 25 ms, which may be begun anew."""
    expected = Concurrency(most=4, lease_us=MINUTE, queue=4, wait_us=25 * MS, per=Per.KEY, is_grace=True)
    assert concurrency(max=4) == expected
    assert not concurrency(max=4, queue=1).is_grace


def test_a_queue_waits_half_a_second_unless_it_says() -> None:
    """Short enough for the proxies' usual patience."""
    assert concurrency(max=1, queue=3).wait_us == 500 * MS


@pytest.mark.parametrize(
    "fields",
    [
        {"max": 1, "queue": 10_000, "wait": "30s", "ttl": "1d"},
        {"max": 1_000_000, "ttl": "1s"},
        *({"max": 1, "per": per} for per in ("key", "user", "ip", "route")),
    ],
)
def test_the_bounds_themselves_are_fine(fields: dict[str, Any]) -> None:
    """Each as far as it goes."""
    assert concurrency(**fields).most == fields["max"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "Field required"),
        ({"max": 0}, "greater than or equal to 1"),
        ({"max": 1_000_001}, "less than or equal to 1000000"),
        ({"max": True}, "must be a number, not true"),
        ({"max": 1, "queue": -1}, "greater than or equal to 0"),
        ({"max": 1, "queue": 10_001}, "less than or equal to 10000"),
        ({"max": 1, "queue": 1, "wait": "30001ms"}, "must be at most 30s"),
        ({"max": 1, "queue": 1, "wait": "0s"}, "longer than nothing"),
        ({"max": 1, "queue": 1, "wait": "500"}, "has no unit"),
        ({"max": 1, "ttl": "999ms"}, "must be at least 1s"),
        ({"max": 1, "ttl": "1d1s"}, "must be at most 1d"),
        ({"max": 1, "per": "all"}, "'key', 'user', 'ip' or 'route'"),
        ({"max": 1, "shadow": True}, "Extra inputs are not permitted"),
        ({"max": 1, "wait": "100ms"}, "nobody waits without a 'queue'"),
        ({"max": 1, "queue": 0, "wait": "100ms"}, "nobody waits without a 'queue'"),
    ],
)
def test_what_can_not_be_is_refused(fields: dict[str, Any], told: str) -> None:
    """With a reason; a wait that nobody would have is a mistake, too."""
    with pytest.raises(ValidationError, match=told):
        concurrency(**fields)


def test_a_mistake_in_the_queue_is_told_once() -> None:
    """The wait may be right: only what is wrong is named."""
    with pytest.raises(ValidationError) as caught:
        concurrency(max=1, queue=-1, wait="100ms")
    assert [error["loc"] for error in caught.value.errors()] == [("queue",)]


@pytest.mark.parametrize("per", ["key", "user"])
def test_a_route_that_looks_at_no_key_counts_none(per: str) -> None:
    """Nobody would ever be counted."""
    route = {"path": "/open", "auth": "none", "concurrency": {"max": 1, "per": per}}
    assert f"counts per {per}, but with 'auth: none' no key is looked at" in problem_of(routes=[route])


@pytest.mark.parametrize(
    ("auth", "per"), [("none", "ip"), ("none", "route"), ("optional", "key"), ("required", "user")]
)
def test_other_routes_may_count_whom_they_know(auth: str, per: str) -> None:
    """Where a key may come, it counts."""
    route = {"path": "/open", "auth": auth, "concurrency": {"max": 1, "per": per}}
    assert Settings.model_validate({"routes": [route]}).routes[0].concurrency is not None


def test_routes_of_one_name_can_not_both_count() -> None:
    """Their requests would be counted together, each by the numbers of the other."""
    routes = [
        {"path": "/a", "methods": ["GET"], "concurrency": FOUR},
        {"path": "/a", "methods": ["POST"], "concurrency": FOUR},
    ]
    assert "routes[0] has limits and is called '/a' too" in problem_of(routes=routes)
    routes[1]["limits"] = ["1/second"]
    del routes[1]["concurrency"]
    assert "routes[0] has limits and is called '/a' too" in problem_of(routes=routes)
    del routes[1]["limits"]
    Settings.model_validate({"routes": routes})
    routes[1] |= {"name": "posts", "concurrency": FOUR}
    Settings.model_validate({"routes": routes})


def test_a_keys_own_limits_may_say_how_many_are_in_flight() -> None:
    """Alone, or beside rates, which come first."""
    own = concurrency(max=4)
    assert parse_own_limits({"concurrency": FOUR}) == (own,)
    rate = Limit("per-second", 5, 1, SECOND // 5)
    assert parse_own_limits({"concurrency": FOUR, "rates": ["5/second"]}) == (rate, own)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"concurrency": None}, "own limits look like"),
        ({"concurrency": 4}, "valid dictionary"),
        ({"concurrency": {"max": 0}}, "greater than or equal to 1"),
        ({"concurrency": {"max": 1, "wait": "1s"}}, "nobody waits without a 'queue'"),
        ({"concurrency": {"max": 1, "per": "user"}}, "'concurrency' can't be per user"),
    ],
)
def test_own_limits_that_are_none_are_refused(limits: dict[str, object], told: str) -> None:
    """As a key is made, not when it is used."""
    with pytest.raises(ValueError, match=told):
        parse_own_limits(limits)


def test_a_tier_counts_behind_its_rates_and_in_shadow_not_at_all() -> None:
    """Nothing may refuse there, so that there is nothing to wait for either."""
    tier = {"rates": ["5/second"], "quota": "9/day", "concurrency": FOUR}
    names = [limit.name for limit in TierSettings.model_validate(tier).to_all_limits()]
    assert names == ["per-second", "quota", "concurrency"]
    in_shadow = TierSettings.model_validate({**tier, "shadow": True}).to_all_limits()
    assert [limit.name for limit in in_shadow] == ["per-second", "quota"]


def test_a_routes_own_goes_into_its_charge() -> None:
    """Under a name of its own; the timeout says how long its requests may take, whatever counts them."""
    route = RouteSettings.model_validate({"path": "/a", "concurrency": FOUR, "timeout": "10m"})
    charge = route.to_charge()
    assert charge.limits == (concurrency(max=4)._replace(name="route-concurrency"),)
    assert (charge.route, charge.lease_us) == ("/a", 10 * MINUTE)
    alone = RouteSettings.model_validate({"path": "/a", "timeout": "1d"}).to_charge()
    assert (alone.limits, alone.lease_us) == ((), DAY)
    assert RouteSettings.model_validate({"path": "/a"}).to_charge() is PLAIN_CHARGE


def test_a_route_can_not_take_longer_than_a_day() -> None:
    """A lease can't last longer either."""
    with pytest.raises(ValidationError, match="must be at most 1d"):
        RouteSettings.model_validate({"path": "/a", "timeout": "1d1s"})


@pytest.mark.parametrize(
    ("tier", "apart"),
    [
        ({"concurrency": {"max": 4, "per": "route"}}, True),
        ({"concurrency": {"max": 4, "per": "route"}, "shadow": True}, False),
        ({"concurrency": {"max": 4, "per": "ip"}}, False),
        ({"concurrency": FOUR, "rates": [{"rate": "1/second", "per": "route"}]}, True),
    ],
)
def test_routes_are_told_apart_where_a_tier_counts_each(tier: dict[str, Any], apart: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Those with nothing of their own, and the default route, have to say which they are."""
    settings = Settings.model_validate(
        {"tiers": {"default": tier}, "routes": [{"path": "/a", "name": "one"}]}
    )
    assert settings.counts_routes_apart is apart
    table = route_table(settings)
    charges = [table.find(Target("GET", "api.example.com", path)).charge.route for path in ("/a", "/b")]
    assert charges == (["one", "default"] if apart else ["", ""])


def test_the_planner_knows_what_tiers_count_in_flight() -> None:
    """From the settings to what a key is held to."""
    settings = Settings.model_validate({"tiers": {"default": {"rates": ["5/second"], "concurrency": FOUR}}})
    known = planner(settings)
    assert known.limits_of(record(tier="default"))[-1] == concurrency(max=4)


def test_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    """In the words of the settings, all at once."""
    file = tmp_path / "extauth.yaml"
    file.write_text(
        "tiers:\n"
        "  default: {concurrency: {max: 0, queue: 1, wait: 31s, ttl: 500ms}}\n"
        "routes:\n"
        "  - {path: /a, timeout: 2d}\n"
        "  - {path: /b, concurrency: {max: 1, wait: 1s}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert sorted(problem.removeprefix(f"{file}:") for problem in caught.value.problems) == [
        "2: tiers.default.concurrency.max: must be at least 1, not 0",
        "2: tiers.default.concurrency.ttl: must be at least 1s",
        "2: tiers.default.concurrency.wait: must be at most 30s",
        "4: routes[0].timeout: must be at most 1d",
        "5: routes[1].concurrency.wait: nobody waits without a 'queue'",
    ]
