"""The cool-down: who goes on past refusals is refused for a while, twice as long each time.

It takes nothing. A limit of it holds `capacity` violations in each `period_us`, which begins with the first
of them. The violation that reaches the capacity begins a cool-down of `pause_us`, the next one of twice that,
up to `longest_us`. Violations while it lasts don't count. After `longest_us` without another cool-down it
begins with the shortest again.

The state is `(count + level * 2**32, window_end_us, until_us, clear_at_us)`: how many violations there were
in the window that ends then, how many cool-downs there were, and when the last one ends.
"""

from __future__ import annotations

from extauth.limits.algorithm import Algorithm, BucketState, Numbers
from extauth.model import Limit, PlainUsage

_LEVEL = 2**32
_NOTHING: BucketState = (0, 0, 0, 0)


def prepare(limit: Limit, cost: int) -> Numbers:  # noqa: ARG001 - as all algorithms have it
    """Return violations, window, first and longest cool-down, and how many violations `violate` counts."""
    return limit.capacity, limit.period_us, limit.pause_us, limit.longest_us, 1


def step(state: BucketState | None, numbers: Numbers, now_us: int) -> tuple[bool, BucketState]:
    """Refuse while it lasts, whatever the cost, and else change nothing. See `limits.algorithm.Step`."""
    packed, window_end_us, until_us, clear_at_us = state or _NOTHING
    if now_us >= until_us:
        return True, (packed, window_end_us, until_us, clear_at_us)
    longest_us = numbers[3]
    if until_us > now_us + longest_us:
        # The clock jumped back, or the limit was changed: nobody is locked out for longer than is set.
        until_us = now_us + longest_us
        return False, (packed, window_end_us, until_us, until_us + longest_us)
    return False, (packed, window_end_us, until_us, clear_at_us)


def violate(state: BucketState | None, numbers: Numbers, now_us: int) -> BucketState:
    """Count as many violations as the last number says, and cool down once there are enough."""
    violations, window_us, pause_us, longest_us, count = numbers
    allowed, (packed, window_end_us, until_us, clear_at_us) = step(state, numbers, now_us)
    if not allowed:
        return packed, window_end_us, until_us, clear_at_us
    level, counted = divmod(packed, _LEVEL)
    if now_us >= until_us + longest_us:
        level = until_us = 0
    if now_us >= window_end_us:
        counted = 0
        window_end_us = now_us + window_us
    window_end_us = min(window_end_us, now_us + window_us)
    counted += count
    if counted < violations:
        clear_at_us = max(window_end_us, until_us + longest_us if level else 0)
        return counted + level * _LEVEL, window_end_us, until_us, clear_at_us
    wait_us = pause_us * 2**level
    if wait_us < longest_us:
        level += 1
    else:
        wait_us = longest_us
    until_us = now_us + wait_us
    return max(level, 1) * _LEVEL, 0, until_us, until_us + longest_us


def resumed(numbers: Numbers, began_us: int, until_us: int) -> BucketState:
    """Return the state in a cool-down that somebody else counted: how long it is says which it is."""
    _, _, pause_us, longest_us, _ = numbers
    level, next_us = 1, pause_us * 2
    while next_us <= min(until_us - began_us, longest_us):
        level, next_us = level + 1, next_us * 2
    return level * _LEVEL, 0, until_us, until_us + longest_us


def give_back(state: BucketState | None, numbers: Numbers, now_us: int) -> BucketState:  # noqa: ARG001 - as all algorithms have it
    """Return the state as it is: nothing was taken. See `limits.algorithm.GiveBack`."""
    return state or _NOTHING


def tell(limit: Limit, cost: int, allowed: bool, state: BucketState, now_us: int) -> PlainUsage:  # noqa: ARG001, FBT001 - as all algorithms have it
    """Say how many violations are left, none while it lasts. See `limits.algorithm.Tell`."""
    packed, window_end_us, until_us, clear_at_us = state
    reset_us = max(clear_at_us - now_us, 0)
    if not allowed or now_us < until_us:
        return limit, allowed, 0, reset_us, 0 if allowed else max(until_us - now_us, 1)
    counted = packed % _LEVEL if now_us < window_end_us else 0
    return limit, allowed, max(limit.capacity - counted, 0), reset_us, 0


COOL_DOWN = Algorithm("cool_down", 4, prepare, step, give_back, tell)
