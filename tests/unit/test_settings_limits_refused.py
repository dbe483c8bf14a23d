"""The settings of limits: what could not hold is refused with its line, and what holds is shown as it is."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest

from extauth.errors import ConfigError
from extauth.settings.load import load_settings
from extauth.settings.model import FailureSettings, Settings
from extauth.settings.schema import effective, settings_schema
from extauth.settings.values import PERIODS, format_period

PEPPER = "a pepper that is long enough to be one"
REDIS = {"store": {"url": "redis://localhost"}, "keys": {"peppers": [PEPPER]}}


def problems_of(folder: Path, text: str) -> list[str]:
    """Load the text as a file and give the mistakes, each beginning with its line."""
    file = folder / "extauth.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    return [problem.replace(f"{file}:", "") for problem in caught.value.problems]


MEETING = """\
tiers:
  default: {rates: [100/second]}
  free:
    rates: [{rate: 10/second, name: x}]
    quota: 15/month
routes:
  - path: /twice
    limits: [1/second]
    methods: [GET]
  - path: /twice
    limits: [1/second]
    methods: [HEAD]
  - path: /dear
    cost: 20
    limits:
      - 30/minute
      - {rate: 5/minute, name: x}
  - path: /dear/shadow
    shadow: true
    cost: 1000
  - path: /open
    auth: none
    cost: 90
    limits:
      - 100/minute
      - {rate: 100/hour, per: ip, name: x}
      - {rate: 100/day, per: ip, name: keyed}
  - path: /both
    auth: optional
    name: both
    limits: [{rate: 100/minute, per: all, name: anonymous}, {rate: 100/minute, name: few}]
  - path: /again
    name: both
    limits: [1/day]
  - path: /twice
limits:
  rates:
    - 1000/second
    - {rate: 1000/second, name: quota, per: key}
    - {rate: 1/second, name: told, shadow: true}
    - {rate: 1000/second, name: keyed, per: key}
  anonymous:
    - {rate: 80/minute, name: anonymous}
    - {rate: 15/hour, name: all-per-second}
    - {rate: 100/hour, name: quota}
    - {rate: 100/hour, name: few}
"""
EXPECTED = [
    (
        "10: routes[1].path: routes[0] has limits and is called '/twice' too: "
        "they are called by their path, so give them a 'name'"
    ),
    (
        "14: routes[2].cost: 20 could never pass: 'x' of the route holds 5, 'x' of tier 'free' holds 10, "
        "'quota' of tier 'free' holds 15"
    ),
    (
        "17: routes[2].limits[1]: 'x' is also the name of a limit of tier 'free', and requests may meet "
        "both: give one of them another 'name'"
    ),
    (
        "23: routes[4].cost: 90 could never pass: 'anonymous' of 'limits.anonymous' holds 80, "
        "'all-per-second' of 'limits.anonymous' holds 15"
    ),
    (
        "25: routes[4].limits[0]: counts per key, but with 'auth: none' no key is looked at: "
        "say per: ip, route or all"
    ),
    (
        "31: routes[5].limits[0]: 'anonymous' is also the name of a limit of 'limits.anonymous', and "
        "requests may meet both: give one of them another 'name'"
    ),
    ("33: routes[6].name: routes[5] has limits and is called 'both' too: give one of them another 'name'"),
    (
        "39: limits.rates[1]: 'quota' is also the name of a limit of tier 'free', and requests may meet "
        "both: give one of them another 'name'"
    ),
    (
        "44: limits.anonymous[1]: 'all-per-second' is also the name of a limit of 'limits.rates', and "
        "requests may meet both: give one of them another 'name'"
    ),
]


def test_limits_that_meet_are_looked_at_together(tmp_path: Path) -> None:
    """All mistakes at once, each in the line to change; what can't meet, and what is in shadow, is none."""
    assert problems_of(tmp_path, MEETING) == EXPECTED


WRONG = [
    ("routes: [{path: /a, cost: -1}]", "1: routes[0].cost: must be at least 0, not -1"),
    ("routes: [{path: /a, cost: true}]", "1: routes[0].cost: must be a number, not true"),
    (
        "routes:\n- path: /a\n  limits: [1/second, 2/second]",
        (
            "3: routes[0].limits: two rates are named 'route-per-second': name one, "
            "as in {rate: 10/second, name: other}"
        ),
    ),
    (
        "limits:\n  rates: [1/second, 2/second]",
        (
            "2: limits.rates: two rates are named 'all-per-second': name one, "
            "as in {rate: 10/second, name: other}"
        ),
    ),
    (
        "limits:\n  anonymous:\n  - 1/second\n  - {rate: 2/second, per: user}",
        "4: limits.anonymous[1]: without a key there is nothing to count per user: take ip, route or all",
    ),
    (
        "tiers:\n  free:\n    quota: {rate: 1/month,\n      pr: ip}",
        "4: tiers.free.quota.pr: unknown field; did you mean 'per'?",
    ),
    (
        "tiers:\n  free:\n    rates:\n    - 1/second\n    - {name: x}",
        "5: tiers.free.rates[1].rate: is needed and has no default",
    ),
    (
        "tiers:\n  free:\n    rates:\n    - 5",
        (
            "4: tiers.free.rates[0]: must be a rate such as '10/second burst 20', "
            "or {rate: 10/second burst 20, name: other}"
        ),
    ),
    (
        "workers: 4",
        (
            "1: workers: 4 workers need a Redis in 'store.url': with the embedded store each would count "
            "limits for itself, and let 4 times as much pass"
        ),
    ),
    (
        "tiers:\n  free:\n    cool_down:\n      violations: 0",
        "4: tiers.free.cool_down.violations: must be at least 1, not 0",
    ),
    (
        "limits: {anonymous_cool_down: {window: 25h}}",
        "1: limits.anonymous_cool_down.window: must be at most 1d",
    ),
    (
        "tiers:\n  free:\n    cool_down:\n      cool_down: 1h",
        ("3: tiers.free.cool_down.longest: must be at least as long as 'cool_down', which is 1h"),
    ),
    (
        "tiers:\n  free:\n    rates: [{rate: 1/second, name: cool-down}]\n    cool_down: {}",
        (
            "4: tiers.free.cool_down: two rates are named 'cool-down': name one, "
            "as in {rate: 10/second, name: other}"
        ),
    ),
    (
        "limits:\n  rates: [{rate: 1/second, name: cool-down}]\n  anonymous_cool_down: {}",
        (
            "3: limits.anonymous_cool_down: 'cool-down' is also the name of a limit of 'limits.rates', and "
            "requests may meet both: give one of them another 'name'"
        ),
    ),
    ("workers: 65", "1: workers: must be at most 64, not 65"),
    ("failure: {share: 0}", "1: failure.share: must be more than 0, not 0"),
    ("failure: {share: 1.5}", "1: failure.share: must be at most 1, not 1.5"),
    ("failure: {deadline: 11s}", "1: failure.deadline: must be at most 10s"),
    (
        "failure:\n  limits: shut",
        "2: failure.limits: must be 'closed', 'open' or 'degrade', not 'shut'",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """In the words of the field that is wrong."""
    assert problems_of(tmp_path, text) == [expected]


def test_without_settings_a_failing_store_lets_nobody_in() -> None:
    """Availability at the price of security is an operator's choice, never a default."""
    assert (FailureSettings().authentication, FailureSettings().limits) == ("closed", "closed")


def test_a_shared_store_can_have_several_workers() -> None:
    """There they count together."""
    assert Settings.model_validate({**REDIS, "workers": 64}).workers == 64


FULL = {
    "tiers": {
        "free": {
            "rates": [
                "10/second burst 20",
                {"rate": "5/week", "algorithm": "sliding_window", "per": "user", "shadow": True},
            ],
            "quota": {"rate": "100/month", "name": "plan"},
            "cool_down": {"violations": 5, "window": "1m", "cool_down": "5s", "longest": "1h"},
            "concurrency": {"max": 4, "per": "user", "queue": 8, "wait": "250ms", "ttl": "2m"},
            "shadow": True,
        },
        "pro": {"quota": "5/day"},
    },
    "routes": [
        {"path": "/a", "cost": 3, "limits": [{"rate": "9/hour", "per": "ip"}], "shadow": True},
        {"path": "/b", "concurrency": {"max": 1}, "timeout": "10m"},
    ],
    "limits": {
        "rates": [{"rate": "9/second", "name": "whole"}],
        "anonymous": ["7/minute"],
        "anonymous_cool_down": {},
    },
    "failure": {
        "authentication": "open",
        "limits": "degrade",
        "honour": "5m",
        "share": 0.5,
        "deadline": "100ms",
    },
    "workers": 1,
}


def test_what_is_shown_means_the_same_and_fits_the_schema() -> None:
    """`config show` gives a file that loads to the same settings, and `config schema` describes both."""
    settings = Settings.model_validate(FULL)
    shown = effective(settings)
    assert Settings.model_validate(shown) == settings
    assert shown["tiers"]["free"] == {**FULL["tiers"]["free"], "scopes": []}  # type: ignore[index]
    assert shown["failure"] == FULL["failure"]
    schema = jsonschema_rs.validator_for(settings_schema())
    for values in (FULL, shown):
        assert [error.message for error in schema.iter_errors(values)] == []
    assert not schema.is_valid({"tiers": {"free": {"quota": {"rate": "1/day", "algorithm": "token_bucket"}}}})
    assert not schema.is_valid({"limits": {"rates": [{"rate": "1/day", "per": "tier"}]}})


def test_a_quota_can_be_nothing(tmp_path: Path) -> None:
    """As `config show` prints it where there is none."""
    file = tmp_path / "extauth.yaml"
    file.write_text("tiers:\n  free:\n    quota: null\n  pro:\n    quota:\n")
    tiers = load_settings(file, {}).tiers
    assert (tiers["free"].quota, tiers["pro"].quota) == (None, None)


def test_periods_are_shown_by_name() -> None:
    """As they are read."""
    assert [format_period(period) for period in PERIODS.values()] == list(PERIODS)
