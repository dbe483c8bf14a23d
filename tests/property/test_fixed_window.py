"""The fixed window against a model: a counter for each date or time of day, by Python's own calendar."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from extauth.model import CALENDAR_MONTH, Limit
from tests.property.limit_strategies import (
    COSTS,
    DAY,
    FIXED_WINDOWS,
    SECOND,
    START_US,
    Cost,
    requests_of,
    take,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FORMATS = {SECOND: "%F %T", 60 * SECOND: "%F %R", 3_600 * SECOND: "%F %H", DAY: "%F", 7 * DAY: "%G week %V"}
PASSED_US = st.integers(0, 2 * SECOND) | st.integers(0, 4_000 * SECOND) | st.integers(0, 45 * DAY)


def window_of(limit: Limit, now_us: int) -> str:
    """Name the window that a time is in."""
    return (EPOCH + timedelta(microseconds=now_us)).strftime(FORMATS.get(limit.period_us, "%Y-%m"))


@given(FIXED_WINDOWS, st.lists(st.tuples(COSTS, PASSED_US), max_size=30))
def test_it_does_what_the_model_does(limit: Limit, requests: list[tuple[Cost, int]]) -> None:
    """Each window of the calendar admits its capacity, to the request, and tells what is left of it."""
    used: Counter[str] = Counter()
    state, now_us = None, START_US
    for cost, passed_us in requests:
        now_us += passed_us
        wanted, window = requests_of(cost, limit), window_of(limit, now_us)
        state, usage = take(state, limit, wanted, now_us)
        assert usage.allowed is (used[window] + wanted <= limit.capacity)
        used[window] += wanted * usage.allowed
        assert usage.remaining == limit.capacity - used[window]


@given(FIXED_WINDOWS, st.integers(0, 2**52))
def test_a_window_ends_where_the_calendar_says(limit: Limit, now_us: int) -> None:
    """The end that is told is the next window's first microsecond, in any year until 2112."""
    _, usage = take(None, limit, limit.capacity, now_us)
    assert window_of(limit, now_us) == window_of(limit, now_us + usage.reset_us - 1)
    assert window_of(limit, now_us) != window_of(limit, now_us + usage.reset_us)


@given(FIXED_WINDOWS, st.lists(st.tuples(COSTS, st.integers(-SECOND, SECOND)), max_size=30))
def test_a_clock_that_trembles_admits_no_more(limit: Limit, requests: list[tuple[Cost, int]]) -> None:
    """Around the end of a window, back and forth: each of the two windows admits its capacity and no more."""
    _, usage = take(None, limit, 1, START_US)
    end_us = START_US + usage.reset_us
    state, admitted = None, 0
    for cost, off_us in requests:
        state, usage = take(state, limit, requests_of(cost, limit), end_us + off_us)
        admitted += requests_of(cost, limit) * usage.allowed
    windows = 3 if limit.period_us == SECOND else 2
    assert admitted <= windows * limit.capacity


@given(FIXED_WINDOWS, FIXED_WINDOWS, COSTS)
def test_another_period_keeps_what_was_counted_within_it(before: Limit, after: Limit, cost: Cost) -> None:
    """A day's count goes on in its month; a month's can't be told apart by days, and starts anew."""
    now_us = START_US + 5 * DAY
    after = after._replace(capacity=before.capacity)
    state, usage = take(None, before, requests_of(cost, before), now_us)
    left = take(state, after, 0, now_us)[1].remaining
    lengths = (before.period_us or 31 * DAY, after.period_us or 31 * DAY)
    # On the sixth of March 2026 the week is all within the month, and each shorter period within the longer.
    assert CALENDAR_MONTH == 0
    assert left == (usage.remaining if lengths[0] <= lengths[1] else before.capacity)
