"""The token bucket.

`capacity` requests at once, refilled evenly. Exact integer arithmetic in units of 1/period_us request.
"""

from __future__ import annotations

from extauth.limits.algorithm import BucketState
from extauth.model import Limit, Usage

# A named tuple's own constructor is a Python function and takes twice as long.
_new = tuple.__new__


def step(state: BucketState | None, limit: Limit, cost: int, now_us: int) -> tuple[BucketState, Usage]:
    """Take `cost` requests from the bucket at `now_us`, if it holds that many.

    See `limits.algorithm.Step`.
    """
    _, capacity, rate, period_us = limit
    full = capacity * period_us
    spent = 0
    if state is not None:
        spent, at_us, full_before, _ = state
        if full_before != full:
            # Rounded up: a changed limit must not give away what was spent.
            spent = -(-spent * full // full_before)
        if now_us > at_us:
            spent -= (now_us - at_us) * rate
            if spent < 0:  # noqa: PLR1730 - calling max costs a tenth of the step
                spent = 0
    wanted = spent + cost * period_us
    # -(-a // b) rounds up: a client that came back a microsecond early would be refused again.
    if wanted <= full:
        reset_us = -(-wanted // rate)
        usage = (limit, True, (full - wanted) // period_us, reset_us, 0)
        return (wanted, now_us, full, now_us + reset_us), _new(Usage, usage)
    reset_us = -(-spent // rate)
    usage = (limit, False, (full - spent) // period_us, reset_us, -((full - wanted) // rate))
    return (spent, now_us, full, now_us + reset_us), _new(Usage, usage)
