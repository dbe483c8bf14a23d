"""The fixed window: `capacity` requests in each second, minute, hour, day, week or month of the calendar.

The calendar is that of UTC. Windows of a fixed length begin at multiples of it since 1970, weeks on Mondays,
months on their first day. The state is `(used, start_us, 0, end_us)`; at its end it can be forgotten.

A count is a count: it stays the same when the capacity changes. When the period changes, the count goes on if
its window lies within the new one, as a day's does within its month, else it starts anew.

A clock that is back in the window before stays in its later window: no time has passed. One that is back
further was wrong before: the count goes on in the window that the clock is in now, so that nobody is locked
out for as long as it was wrong.
"""

from __future__ import annotations

from functools import lru_cache

from extauth.limits.algorithm import Algorithm, BucketState, Numbers
from extauth.model import CALENDAR_MONTH, Limit, PlainUsage

_DAY_US = 86_400_000_000
_WEEK_US = 7 * _DAY_US
# 1970 began on a Thursday.
_FIRST_MONDAY_US = 4 * _DAY_US


def prepare(limit: Limit, cost: int) -> Numbers:
    """Return capacity, cost, the length of the window (0 for months), and when one of them began."""
    first_us = _FIRST_MONDAY_US if limit.period_us == _WEEK_US else 0
    # What can never pass need not be told exactly.
    return limit.capacity, min(cost, limit.capacity + 1), limit.period_us, first_us, 0


def step(state: BucketState | None, numbers: Numbers, now_us: int) -> tuple[bool, BucketState]:
    """Take the cost if the window has room for it. See `limits.algorithm.Step`."""
    capacity, cost, period_us, first_us, _ = numbers
    if period_us == CALENDAR_MONTH:
        start_us, end_us = _month(now_us // _DAY_US)
    else:
        start_us = now_us - (now_us - first_us) % period_us
        end_us = start_us + period_us
    used = 0
    if state is not None:
        used, start_before_us, _, end_before_us = state
        if start_before_us != start_us or end_before_us != end_us:
            if start_before_us == end_us and _is_window(start_before_us, end_before_us, period_us):
                start_us, end_us = start_before_us, end_before_us
            elif start_before_us < start_us or start_before_us < end_us < end_before_us:
                used = 0
    if used + cost <= capacity or not cost:
        return True, (used + cost, start_us, 0, end_us)
    return False, (used, start_us, 0, end_us)


def _is_window(start_us: int, end_us: int, period_us: int) -> bool:
    """Tell whether a window that begins where one of this period begins is one too."""
    if period_us == CALENDAR_MONTH:
        return _month(start_us // _DAY_US) == (start_us, end_us)
    return end_us - start_us == period_us


@lru_cache(64)
def _month(day: int) -> tuple[int, int]:
    """Return when the month begins and ends that a day since 1970 is in."""
    first = _first_of_month(day)
    # No month is longer than 31 days, and none so short that this would miss the next one.
    return first * _DAY_US, _first_of_month(first + 31) * _DAY_US


def _first_of_month(day: int) -> int:
    """Return the first day of a day's month.

    Counted in years that begin in March, so that the leap day is their last; 146,097 days are 400 years.
    """
    day_of_era = (day + 719_468) % 146_097
    year = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    # From March on months have 31, 30, 31, 30, 31 days, over and over.
    month = (5 * day_of_year + 2) // 153
    return day - day_of_year + (153 * month + 2) // 5


def give_back(state: BucketState | None, numbers: Numbers, now_us: int) -> BucketState:
    """Take the cost off the count. See `limits.algorithm.GiveBack`."""
    capacity, cost, period_us, first_us, _ = numbers
    _, (used, start_us, _, end_us) = step(state, (capacity, 0, period_us, first_us, 0), now_us)
    return max(used - cost, 0), start_us, 0, end_us


def tell(limit: Limit, cost: int, allowed: bool, state: BucketState, now_us: int) -> PlainUsage:  # noqa: ARG001, FBT001 - as all algorithms have it
    """Say how the window stands. See `limits.algorithm.Tell`."""
    used, _, _, end_us = state
    remaining = limit[1] - used
    left_us = end_us - now_us
    if remaining < 0:  # noqa: PLR1730 - calling max costs a tenth of this
        remaining = 0
    return limit, allowed, remaining, left_us if used else 0, 0 if allowed else left_us


FIXED_WINDOW = Algorithm("fixed_window", 3, prepare, step, give_back, tell)
