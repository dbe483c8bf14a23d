"""Moments to microseconds and back, without the rounding of floating point."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from extauth.clock import SystemClock, from_us, to_us


@given(st.datetimes(timezones=st.just(UTC)))
def test_no_microsecond_is_lost(moment: datetime) -> None:
    """There and back, for every moment of the calendar."""
    assert from_us(to_us(moment)) == moment
    assert from_us(to_us(moment)).tzinfo is UTC


def test_zones_are_respected() -> None:
    """The same moment in another zone is the same number."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert to_us(noon) == to_us(noon.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert to_us(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_the_system_clock_is_the_machines() -> None:
    """In microseconds since 1970."""
    before, now, after = time.time_ns(), SystemClock().now_us(), time.time_ns()
    assert before // 1_000 <= now <= after // 1_000
