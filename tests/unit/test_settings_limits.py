"""The settings of limits: what is written becomes what is counted."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from extauth.compiled import planner, route_table
from extauth.limits.plan import PLAIN_CHARGE
from extauth.limits.registry import ALGORITHMS, DEFAULT_ALGORITHM
from extauth.model import CALENDAR_MONTH, Limit, Per, Target
from extauth.settings.model import RateSettings, Settings, TierSettings
from extauth.settings.rates import (
    OF_A_ROUTE,
    OF_ALL,
    OF_ANONYMOUS,
    OF_KEYS,
    AlgorithmName,
    Place,
)
from extauth.settings.routing import parse_own_limits
from extauth.settings.values import LARGEST_COUNT, PERIODS
from tests.keys import record

LARGEST_NUMBER = 2**53
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


def limit(value: Any, place: Place = OF_KEYS) -> Limit:
    """Turn a rate as it is written into a limit."""
    return RateSettings.model_validate(value).to_limit(place)


def test_a_rate_says_how_it_is_counted() -> None:
    """All of the mapping arrives in the limit."""
    written = {
        "rate": "10/minute",
        "name": "steady",
        "algorithm": "sliding_window",
        "per": "ip",
        "shadow": True,
    }
    assert limit(written) == Limit("steady", 10, 10, 60 * SECOND_US, "sliding_window", Per.IP, shadow=True)
    assert limit({"rate": "10/minute burst 3"}) == Limit("per-minute", 3, 1, 6 * SECOND_US)


def test_the_settings_name_all_algorithms_there_are() -> None:
    """What can be chosen can be counted, and nothing that counts requests can't be chosen."""
    assert set(get_args(AlgorithmName)) == ALGORITHMS.keys() - {"cool_down"}
    assert RateSettings.parse("1/second").algorithm == DEFAULT_ALGORITHM


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("second", SECOND_US),
        ("minute", 60 * SECOND_US),
        ("hour", 3600 * SECOND_US),
        ("day", DAY_US),
        ("week", 7 * DAY_US),
        ("month", CALENDAR_MONTH),
    ],
)
def test_fixed_windows_have_the_periods_of_the_calendar(period: str, expected: int) -> None:
    """A month has no length of its own."""
    counted = limit({"rate": f"7/{period}", "algorithm": "fixed_window"})
    assert (counted.capacity, counted.rate, counted.period_us) == (7, 7, expected)
    assert counted.name == f"per-{period}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rate": "1/10s", "algorithm": "fixed_window"}, "its period is second, .* month, not 10s"),
        ({"rate": "1/30d", "algorithm": "fixed_window"}, "follows the calendar"),
        ({"rate": "1/second burst 1", "algorithm": "fixed_window"}, "'burst' belongs to the token bucket"),
        ({"rate": "1/second burst 2", "algorithm": "sliding_window"}, "'burst' belongs to the token bucket"),
        ({"rate": "1/month", "algorithm": "sliding_window"}, "write 30d, or take 'fixed_window'"),
        ("1/month", "'token_bucket' can't count by 'month'"),
        ("1/month burst 2", "write 30d"),
        ({"rate": "9/3651d", "algorithm": "sliding_window"}, "the period is longer than 3650 days"),
        ({"rate": "1/second", "algorithm": "leaky_bucket"}, "'token_bucket'"),
        ({"rate": "1/second", "per": "tier"}, "'key', 'user', 'ip', 'route' or 'all'"),
        ({"rate": "1/second", "shadow": "perhaps"}, "boolean"),
    ],
)
def test_what_an_algorithm_can_not_count_is_refused(value: object, message: str) -> None:
    """With what to write instead."""
    with pytest.raises(ValidationError, match=message):
        RateSettings.model_validate(value)


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (OF_KEYS, ["per-second", "user-per-second", "ip-per-second", "route-per-second", "all-per-second"]),
        (
            OF_A_ROUTE,
            ["route-per-second", "route-user-per-second", "route-ip-per-second", "route-all-per-second"],
        ),
        (OF_ALL, ["per-second", "user-per-second", "ip-per-second", "route-per-second", "all-per-second"]),
    ],
)
def test_names_say_whom_a_limit_counts(place: Place, names: list[str]) -> None:
    """So that limits of one period stay apart without being named; of one route, all are the route's."""
    written = [limit({"rate": "1/second", "per": per}, place).name for per in Per]
    assert list(dict.fromkeys(written)) == names


@pytest.mark.parametrize(
    ("place", "per"),
    [(OF_KEYS, Per.KEY), (OF_A_ROUTE, Per.KEY), (OF_ALL, Per.ALL), (OF_ANONYMOUS, Per.IP)],
)
def test_whom_a_limit_counts_follows_from_its_place(place: Place, per: Per) -> None:
    """Unless it says."""
    assert limit("1/second", place).per is per
    assert limit({"rate": "1/second", "per": "route"}, place).per is Per.ROUTE


counts = st.integers(1, LARGEST_COUNT)
periods = st.integers(1, 3_650 * 86_400_000).map("{}ms".format) | st.sampled_from(list(PERIODS))
written_rates = st.fixed_dictionaries(
    {"rate": st.builds("{}/{}{}".format, counts, periods, st.just("") | counts.map(" burst {}".format))},
    optional={
        "name": st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
        "per": st.sampled_from([per.value for per in Per]),
        "algorithm": st.sampled_from(get_args(AlgorithmName)),
        "shadow": st.booleans(),
    },
)


@given(written_rates, st.sampled_from([OF_KEYS, OF_A_ROUTE, OF_ALL, OF_ANONYMOUS]), counts)
def test_every_rate_that_is_taken_can_be_counted_and_shown(
    written: dict[str, Any], place: Place, cost: int
) -> None:
    """Lua has its numbers exactly, its name fits the headers, and its text form means the same."""
    try:
        rate = RateSettings.model_validate(written)
    except ValidationError:
        return
    counted = rate.to_limit(place)
    assert len(counted.name) <= 32
    assert all(
        abs(number) < LARGEST_NUMBER for number in ALGORITHMS[counted.algorithm].prepare(counted, cost)
    )
    assert RateSettings.model_validate(rate.model_dump(mode="json")) == rate


def test_a_quota_is_a_fixed_window() -> None:
    """Per key, called `quota`, and told apart from rates."""
    assert TierSettings.model_validate({"quota": "100000/month"}).to_limits() == (
        Limit("quota", 100_000, 100_000, CALENDAR_MONTH, "fixed_window", is_quota=True),
    )
    written = {"rate": "5/day", "name": "plan", "per": "user", "shadow": True}
    assert TierSettings.model_validate({"rates": ["1/second"], "quota": written}).to_limits()[1] == Limit(
        "plan", 5, 5, DAY_US, "fixed_window", Per.USER, shadow=True, is_quota=True
    )


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ("100/10s", "follows the calendar"),
        ("100/month burst 5", "'burst' belongs"),
        ({"rate": "1/day", "algorithm": "token_bucket"}, "Extra inputs"),
        ({"rate": "1/day", "name": "per-second"}, "two rates are named 'per-second'"),
        (5, "must be a rate such as '100000/month'"),
    ],
)
def test_other_quotas_are_refused(quota: object, message: str) -> None:
    """A quota is a count in a period of the calendar, with a name of its own."""
    with pytest.raises(ValidationError, match=message):
        TierSettings.model_validate({"rates": ["1/second"], "quota": quota})


def test_a_tier_in_shadow_is_one_with_all_its_limits() -> None:
    """Rates and quota are counted and never refuse."""
    tier = {"rates": ["1/second", {"rate": "1/day", "shadow": False}], "quota": "1/month", "shadow": True}
    assert [each.shadow for each in TierSettings.model_validate(tier).to_limits()] == [True, True, True]


@pytest.mark.parametrize(
    ("own", "names"),
    [
        ({"rates": ["1/second"]}, ["per-second"]),
        ({"quota": "5/month"}, ["quota"]),
        ({"rates": ["1/second"], "quota": {"rate": "5/week", "name": "plan"}}, ["per-second", "plan"]),
        ({"rates": []}, []),
    ],
)
def test_a_key_has_rates_or_a_quota_of_its_own(own: dict[str, object], names: list[str]) -> None:
    """Either of the two is enough, and they are written as in tiers."""
    assert [each.name for each in parse_own_limits(own)] == names


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({}, "own limits look like"),
        ({"rates": ["1/second"], "shadow": True}, "own limits look like"),
        ({"rates": "1/second"}, "own limits look like"),
        ({"rates": None}, "own limits look like"),
        ({"quota": None}, "own limits look like"),
        ({"quota": "often"}, "'often' is not a rate"),
        ({"rates": [{"rate": "1/second", "per": "user"}]}, "count the key alone"),
        ({"quota": {"rate": "1/month", "per": "all"}}, "'quota' can't be per all"),
    ],
)
def test_other_own_limits_are_refused(own: dict[str, object], message: str) -> None:
    """Limits that several keys share are their tier's: each key would have another number for one count."""
    with pytest.raises(ValueError, match=message):
        parse_own_limits(own)


def charges(**sections: Any) -> list[Any]:
    """Return the charge of a request for `/a`, then that of the default route."""
    table = route_table(Settings.model_validate(sections))
    return [table.find(Target("GET", "", path)).charge for path in ("/a", "/elsewhere")]


@pytest.mark.parametrize("route", [{}, {"cost": 1}, {"limits": []}, {"shadow": False}, {"name": "x"}])
def test_a_route_that_sets_nothing_has_the_plain_charge(route: dict[str, Any]) -> None:
    """The very same object, so that all that follows from it is worked out once."""
    assert all(charge is PLAIN_CHARGE for charge in charges(routes=[{"path": "/a", **route}]))


def test_a_route_has_a_charge_of_its_own() -> None:
    """Cost, limits and shadow, under its name or else its path."""
    route = {"path": "/a", "cost": 5, "limits": ["10/second"], "shadow": True}
    charge, default = charges(routes=[route])
    assert (charge.route, charge.cost, charge.shadow) == ("/a", 5, True)
    assert charge.limits == (Limit("route-per-second", 10, 1, SECOND_US // 10),)
    assert default is PLAIN_CHARGE
    assert charges(routes=[{"path": "/a", "cost": 0, "name": "free"}])[0].route == "free"
    assert charges(routes=[{"path": "/a", "shadow": True}])[0].shadow


@pytest.mark.parametrize(
    "sections",
    [
        {"tiers": {"x": {"rates": [{"rate": "1/second", "per": "route"}]}}},
        {"tiers": {"x": {"quota": {"rate": "1/day", "per": "route"}}}},
        {"limits": {"rates": [{"rate": "1/second", "per": "route"}]}},
        {"limits": {"anonymous": [{"rate": "1/second", "per": "route"}]}},
    ],
)
def test_routes_are_told_apart_where_a_limit_counts_them(sections: dict[str, Any]) -> None:
    """With one charge for all, their requests would count together."""
    assert [charge.route for charge in charges(routes=[{"path": "/a"}], **sections)] == ["/a", "default"]


def test_the_planner_knows_all_limits() -> None:
    """Of tiers, of everybody, and of those without a key."""
    settings = Settings.model_validate(
        {
            "tiers": {"free": {"rates": ["1/second"]}},
            "limits": {"rates": ["9/second"], "anonymous": ["5/minute"]},
        }
    )
    plans = planner(settings)
    assert [each.name for each in plans.limits_of(record(tier="free"))] == ["per-second"]
    assert plans.anonymous == (Limit("ip-per-minute", 5, 1, 12 * SECOND_US, per=Per.IP),)
    assert plans._common == (Limit("all-per-second", 9, 9, SECOND_US, per=Per.ALL),)
