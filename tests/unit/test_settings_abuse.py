"""The settings of budgets and bans: what is written becomes what is counted against."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from extauth.abuse.budgets import Budget
from extauth.errors import ConfigError
from extauth.settings.load import load_settings
from extauth.settings.model import Settings

MINUTE_US = 60_000_000


def test_the_defaults() -> None:
    """30 failures in a minute, then a minute up to an hour; of everybody but this machine."""
    rules = Settings().abuse.to_rules()
    assert rules.per_address == rules.per_key == Budget(30, MINUTE_US, MINUTE_US, 60 * MINUTE_US)
    assert rules.allow == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert rules.enabled


def test_the_environment_sets_all_of_it() -> None:
    """Networks with commas, an address by itself too."""
    rules = load_settings(
        None,
        {
            "EXTAUTH_ABUSE__ENABLED": "false",
            "EXTAUTH_ABUSE__ALLOW": "10.0.0.0/8,2001:db8::/32,192.0.2.7",
            "EXTAUTH_ABUSE__PER_KEY__FAILURES": "3",
            "EXTAUTH_ABUSE__PER_KEY__LONGEST": "2h",
        },
    ).abuse.to_rules()
    assert rules.allow == tuple(map(ip_network, ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32")))
    assert rules.per_key == Budget(3, MINUTE_US, MINUTE_US, 120 * MINUTE_US)
    assert not rules.enabled


@pytest.mark.parametrize(
    ("section", "place", "said"),
    [
        ({"allow": ["10.0.0.1/8"]}, "abuse.allow[0]", "host bits set"),
        ({"allow": ["everybody"]}, "abuse.allow[0]", "a network such as 10.0.0.0/8"),
        ({"allow": [7]}, "abuse.allow[0]", "must be an address or a network"),
        ({"per_key": {"failures": 0}}, "abuse.per_key.failures", "1"),
        ({"per_address": {"ban": "2h"}}, "abuse.per_address.longest", "at least as long as 'ban'"),
        ({"per_address": {"window": 60}}, "abuse.per_address.window", "has no unit"),
    ],
)
def test_mistakes_are_told_at_their_place(tmp_path: Path, section: Any, place: str, said: str) -> None:
    """One line each, with what would be right."""
    file = tmp_path / "extauth.yaml"
    file.write_text(f"abuse: {section}")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    (problem,) = caught.value.problems
    assert place in problem
    assert said in problem
