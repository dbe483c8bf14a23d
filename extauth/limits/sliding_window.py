"""The sliding window counter: `capacity` requests in any stretch of `window_us`, the older ones estimated.

Windows begin at multiples of their length. A request counts in full in the window it came in, and in the next
one by the part of that which is still to come: what counts is `current + previous * rest / window`, as if
those of the previous window had come evenly. The rest falls in `slices` steps of `slice_us`, so that each
product is a whole number that Lua has exactly; what counts is rounded up.

The state is `(current, previous, start_us, clear_at_us)`. A count is a count: it stays the same when the
capacity changes. Windows of another length can't go on with it: what counted by the old length at the moment
of the change counts as current in the window of the new length that this moment is in. So a change never
gives away what was spent, and what it holds back too long is gone after two windows.

A clock that is back in the window before stays at the beginning of its later window: no time has passed. One
that is back further was wrong before: all that is counted counts in the window that the clock is in now, so
that nobody is locked out for as long as it was wrong.
"""

from __future__ import annotations

from extauth.limits.algorithm import Algorithm, BucketState, Numbers
from extauth.model import Limit, PlainUsage

# More slices than clients can tell apart, and few enough: a count of 10**9 times these is below 2**53.
_SLICES = 1_000_000


def prepare(limit: Limit, cost: int) -> Numbers:
    """Return capacity, cost, the length of the window, that of a slice, and how many of these there are."""
    slice_us, slices = _sliced(limit.period_us)
    # What can never pass need not be told exactly.
    return limit.capacity, min(cost, limit.capacity + 1), limit.period_us, slice_us, slices


def step(state: BucketState | None, numbers: Numbers, now_us: int) -> tuple[bool, BucketState]:
    """Take the cost if what counts leaves room for it. See `limits.algorithm.Step`."""
    capacity, cost, window_us, slice_us, slices = numbers
    start_us = now_us - now_us % window_us
    current = previous = 0
    if state is not None:
        current, previous, start_before_us, clear_at_us = state
        span_us = window_us + window_us if current else window_us
        if start_before_us != start_us or clear_at_us - start_us != span_us:
            current, previous, start_us = _at(state, window_us, start_us, now_us)
    if not cost:
        return True, _state(current, previous, start_us, window_us)
    counted = current + cost
    if previous:
        # Minus the floor of the negative is rounded up.
        passed_us = now_us - start_us
        counted -= previous * ((passed_us // slice_us if passed_us > 0 else 0) - slices) // slices
    if counted <= capacity:
        return True, (current + cost, previous, start_us, start_us + window_us + window_us)
    return False, _state(current, previous, start_us, window_us)


def _sliced(window_us: int) -> tuple[int, int]:
    slice_us = max(1, window_us // _SLICES)
    return slice_us, -(-window_us // slice_us)


def _state(current: int, previous: int, start_us: int, window_us: int) -> BucketState:
    if current:
        return current, previous, start_us, start_us + window_us + window_us
    return 0, previous, start_us, start_us + window_us if previous else start_us


def _at(state: BucketState, window_us: int, start_us: int, now_us: int) -> tuple[int, int, int]:
    """Return current and previous count and the begin of a state in another window than the one of now."""
    current, previous, start_before_us, clear_at_us = state
    # The end of the state tells how long its windows were.
    window_before_us = clear_at_us - start_before_us
    if current:
        window_before_us //= 2
    if window_before_us != window_us or start_before_us > start_us + window_us:
        return _counted(current, previous, now_us - start_before_us, window_before_us), 0, start_us
    if start_before_us > start_us:
        return current, previous, start_before_us
    return 0, current if start_before_us + window_us == start_us else 0, start_us


def _counted(current: int, previous: int, passed_us: int, window_us: int) -> int:
    """Return what counts when so much has passed since a window began; before its begin none has."""
    passed_us = max(passed_us, 0)
    if passed_us >= window_us:
        current, previous = 0, current
        passed_us -= window_us
    if passed_us >= window_us:
        return 0
    slice_us, slices = _sliced(window_us)
    return current - previous * (passed_us // slice_us - slices) // slices


def give_back(state: BucketState | None, numbers: Numbers, now_us: int) -> BucketState:
    """Take the cost off the current count, the rest off the previous one. See `limits.algorithm.GiveBack`."""
    capacity, cost, window_us, slice_us, slices = numbers
    _, (current, previous, start_us, _) = step(state, (capacity, 0, window_us, slice_us, slices), now_us)
    current -= cost
    if current < 0:
        previous = max(previous + current, 0)
        current = 0
    return _state(current, previous, start_us, window_us)


def tell(limit: Limit, cost: int, allowed: bool, state: BucketState, now_us: int) -> PlainUsage:  # noqa: FBT001 - as all algorithms have it
    """Say how the window stands. See `limits.algorithm.Tell`."""
    capacity, window_us = limit[1], limit[3]
    current, previous, start_us, clear_at_us = state
    left = capacity - current
    if previous:
        passed_us = now_us - start_us
        # As `_sliced` has it, without a call.
        slice_us = window_us // _SLICES or 1
        slices = -(-window_us // slice_us)
        left += previous * ((passed_us // slice_us if passed_us > 0 else 0) - slices) // slices
    remaining = max(left, 0)
    reset_us = clear_at_us - now_us if clear_at_us > now_us else 0
    retry_us = 0 if allowed else _retry_us(limit, cost, state, now_us)
    return limit, allowed, remaining, reset_us, retry_us


def _retry_us(limit: Limit, cost: int, state: BucketState, now_us: int) -> int:
    """Return when so little counts that the cost fits, if nobody else takes any."""
    current, previous, start_us, _ = state
    window_us = limit.period_us
    room = limit.capacity - cost
    if room < 0:
        return window_us
    if current > room:
        # Not in this window: in the next one it counts as the previous.
        current, previous, start_us = 0, current, start_us + window_us
    slice_us, slices = _sliced(window_us)
    # The first step at which previous * (slices - n) / slices is no more than what is left of the room.
    steps = slices - (room - current) * slices // previous if previous else 0
    return max(start_us + min(steps * slice_us, window_us) - now_us, 1)


SLIDING_WINDOW = Algorithm("sliding_window", 2, prepare, step, give_back, tell)
