"""From a key to the buckets that its requests take from."""

from __future__ import annotations

import pytest

from extauth.limits.plan import Planner, Take, UnknownLimitsError, bucket_name, takes_for
from extauth.model import Limit
from extauth.settings.routing import parse_own_limits
from tests.keys import record

SECOND = Limit("per-second", 10, 5, 1_000_000)
HOUR = Limit("per-hour", 1000, 1000, 3_600_000_000)
PLANNER = Planner({"pro": (SECOND, HOUR), "free": ()}, parse_own=parse_own_limits)


def test_a_key_takes_the_limits_of_its_tier() -> None:
    """In the order of the configuration; one set for all keys of the tier, for which answers are prepared."""
    limits = PLANNER.limits_of(record(tier="pro"))
    assert limits.limits == (SECOND, HOUR)
    assert PLANNER.limits_of(record("AAAAbbbb0002", tier="pro")) is limits
    assert takes_for(record("AAAAbbbb0002", tier="pro"), limits) == (
        Take("key:AAAAbbbb0002:per-second", SECOND),
        Take("key:AAAAbbbb0002:per-hour", HOUR),
    )


def test_a_tier_may_have_no_limits() -> None:
    """Then nothing is taken."""
    assert takes_for(record(tier="free"), PLANNER.limits_of(record(tier="free"))) == ()


def test_a_tier_that_is_gone_is_told() -> None:
    """A key without known limits must not become one without limits."""
    with pytest.raises(UnknownLimitsError, match="gold"):
        PLANNER.limits_of(record(tier="gold"))


def test_a_bucket_keeps_its_name_when_its_limit_changes() -> None:
    """What was counted under the old numbers counts under the new ones."""
    changed = SECOND._replace(capacity=99, rate=7, period_us=5)
    assert (
        bucket_name("AAAAbbbb0001", changed)
        == bucket_name("AAAAbbbb0001", SECOND)
        == "key:AAAAbbbb0001:per-second"
    )
