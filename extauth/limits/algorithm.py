"""What every limit algorithm is: a pure step. It knows no store, no clock and no key."""

from __future__ import annotations

from typing import Protocol

from extauth.model import Limit, Usage

# What is remembered of one bucket between requests: (spent, at_us, full, clear_at_us). A plain tuple, because
# one is made for each limit of each check.
#
# `spent` is how much was spent, as of `at_us` (microseconds since 1970). Amounts are whole units, `period_us`
# of them to a request, so that a refill of `rate` units each microsecond is exact and nothing is ever lost to
# rounding. `full` is the capacity in units at that time: when the configuration changes the limit, the fill
# level is carried over in proportion. From `clear_at_us` on nothing is spent any more: the state can be
# forgotten.
BucketState = tuple[int, int, int, int]


class Step(Protocol):
    """A pure step `(state, limit, cost, now_us) -> (state, usage)`.

    `state` is None for a bucket nobody has used, which is the same as one with nothing spent. A refused
    request spends nothing: its new state differs from the old one at most in the time. A cost of 0 looks
    without taking. `now_us` may jump in either direction: a jump back only means that no time has passed.
    """

    def __call__(
        self, state: BucketState | None, limit: Limit, cost: int, now_us: int, /
    ) -> tuple[BucketState, Usage]:
        """Take `cost` requests at `now_us` and say how the limit stands."""
        ...
