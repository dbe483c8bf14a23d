"""The token bucket: `capacity` requests at once, refilled evenly.

What was spent is kept as the time in which it is refilled: `owed_us` whole microseconds and `part` of the
next one, in units of 1/rate microsecond, of which a request costs exactly period_us. Nothing is ever rounded
away, and no number grows beyond what Lua holds. The state is `(owed_us, part, full_us, clear_at_us)`; it was
true at `clear_at_us - owed_us`. `full_us` is the time in which a whole bucket is refilled: when the
configuration changes the limit, the fill level is carried over in proportion.
"""

from __future__ import annotations

import math

from extauth.limits.algorithm import Algorithm, BucketState, Numbers
from extauth.model import Limit, PlainUsage


def prepare(limit: Limit, cost: int) -> Numbers:
    """Return the refill time of a whole bucket and of the cost, with their parts, and the unit of these."""
    capacity, rate, period_us = limit[1:4]
    full_us, full_part = divmod(capacity * period_us, rate)
    # What can never pass need not be told exactly.
    cost_us, cost_part = divmod(min(cost, capacity + 1) * period_us, rate)
    return full_us, full_part, rate, cost_us, cost_part


def step(state: BucketState | None, numbers: Numbers, now_us: int) -> tuple[bool, BucketState]:
    """Take the cost if the bucket holds that much. See `limits.algorithm.Step`."""
    full_us, full_part, rate, cost_us, cost_part = numbers
    owed_us = part = 0
    if state is not None:
        owed_us, part, full_before_us, clear_at_us = state
        left_us = clear_at_us - now_us
        if part:
            left_us -= 1
        if left_us < owed_us:
            if left_us < 0:
                owed_us = part = 0
            else:
                owed_us = left_us
        if full_before_us != full_us or part >= rate:
            owed_us, part = _carried_over(owed_us, part, full_before_us, full_us)
    taken_us = owed_us + cost_us
    taken_part = part + cost_part
    if taken_part >= rate:
        taken_part -= rate
        taken_us += 1
    if taken_us < full_us or (taken_us == full_us and taken_part <= full_part) or not (cost_us or cost_part):
        clear_at_us = now_us + taken_us
        return True, (taken_us, taken_part, full_us, clear_at_us + 1 if taken_part else clear_at_us)
    clear_at_us = now_us + owed_us
    return False, (owed_us, part, full_us, clear_at_us + 1 if part else clear_at_us)


def _carried_over(owed_us: int, part: int, full_before_us: int, full_us: int) -> tuple[int, int]:
    """Return the same fill level of another bucket, rounded up: a change must not give away what was spent.

    In floating point of 53 bits on purpose, so that Lua comes to the same.
    """
    if part:
        owed_us += 1
    if full_before_us != full_us:
        owed_us = math.ceil(float(owed_us) * float(full_us) / float(max(full_before_us, 1)))
    return min(owed_us, full_us), 0


def give_back(state: BucketState | None, numbers: Numbers, now_us: int) -> BucketState:
    """Pour the cost back in. See `limits.algorithm.GiveBack`."""
    full_us, full_part, rate, cost_us, cost_part = numbers
    _, (owed_us, part, _, _) = step(state, (full_us, full_part, rate, 0, 0), now_us)
    part -= cost_part
    owed_us -= cost_us
    if part < 0:
        part += rate
        owed_us -= 1
    if owed_us < 0:
        owed_us = part = 0
    return owed_us, part, full_us, now_us + owed_us + (1 if part else 0)


def tell(limit: Limit, cost: int, allowed: bool, state: BucketState, now_us: int) -> PlainUsage:  # noqa: ARG001, FBT001 - as all algorithms have it
    """Say how the bucket stands. See `limits.algorithm.Tell`."""
    # By place: taking a named tuple apart goes through an iterator, which takes longer.
    capacity, rate, period_us = limit[1], limit[2], limit[3]
    owed_us, part, _, _ = state
    spent = owed_us * rate + part
    # -(-a // b) rounds up.
    remaining = capacity - -(-spent // period_us)
    if remaining < 0:  # noqa: PLR1730 - calling max costs a tenth of this
        # A part that is left of another rate can be more than the whole of this one.
        remaining = 0
    reset_us = owed_us + 1 if part else owed_us
    if allowed:
        return limit, True, remaining, reset_us, 0
    # Rounded up: a client that came back a microsecond early would be refused again.
    missing = spent + cost * period_us - capacity * period_us if cost <= capacity else capacity * period_us
    return limit, False, remaining, reset_us, max(-(-missing // rate), 1)


TOKEN_BUCKET = Algorithm("token_bucket", 1, prepare, step, give_back, tell)
