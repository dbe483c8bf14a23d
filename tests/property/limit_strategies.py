"""Limits, costs and passing time for property tests of the limit algorithms."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from extauth.limits.algorithm import BucketState
from extauth.limits.registry import ALGORITHMS
from extauth.model import CALENDAR_MONTH, Limit, Usage

START_US = 1_772_366_400_000_000
SECOND = 1_000_000
DAY = 86_400 * SECOND
COUNTS = st.integers(1, 50) | st.integers(1, 1_000_000_000)
# Costs beside the small ones are parts of the capacity, so that large limits get spent too.
COSTS = st.integers(0, 5) | st.fractions(0, 1)
PASSED_US = st.integers(0, 3 * SECOND) | st.integers(0, 40 * DAY)
JUMPS_US = st.integers(-5 * SECOND, 5 * SECOND) | st.integers(-(10**13), 10**13)
# A cool-down of a tier, or none.
COOL_DOWNS = st.none() | st.fixed_dictionaries(
    {
        "violations": st.integers(1, 5),
        "window": st.sampled_from(["5ms", "10s"]),
        "cool_down": st.sampled_from(["1ms", "15ms", "2s"]),
        "longest": st.sampled_from(["2s", "10m"]),
    }
)


def limit_of(name: str, capacity: int, rate: int, period_us: int) -> Limit:
    """Return a limit as the settings allow it: no bucket takes longer to be refilled than ten years."""
    return Limit("x", capacity, max(rate, -(-capacity * period_us // (3_650 * DAY))), period_us, name)


TOKEN_BUCKETS = st.builds(
    limit_of,
    st.just("token_bucket"),
    COUNTS,
    COUNTS,
    st.sampled_from([1_000, SECOND, 7 * SECOND, 3_600 * SECOND, 30 * DAY]),
)
SLIDING_WINDOWS = st.builds(
    lambda capacity, period_us: Limit("x", capacity, capacity, period_us, "sliding_window"),
    COUNTS,
    st.sampled_from([1_000, SECOND, 1_999_999, 7_000_001, 3_600 * SECOND, 30 * DAY]),
)
FIXED_WINDOWS = st.builds(
    lambda capacity, period_us: Limit("x", capacity, capacity, period_us, "fixed_window"),
    COUNTS,
    st.sampled_from([SECOND, 60 * SECOND, 3_600 * SECOND, DAY, 7 * DAY, CALENDAR_MONTH]),
)
LIMITS = st.one_of(TOKEN_BUCKETS, SLIDING_WINDOWS, FIXED_WINDOWS)

Cost = int | Fraction


def requests_of(cost: Cost, limit: Limit) -> int:
    """Return a cost that could pass at all."""
    return min(cost, limit.capacity) if isinstance(cost, int) else int(cost * limit.capacity)


def take(state: BucketState | None, limit: Limit, cost: int, now_us: int) -> tuple[BucketState, Usage]:
    """Take by the limit's algorithm, and return the state and what is told."""
    algorithm = ALGORITHMS[limit.algorithm]
    allowed, state = algorithm.step(state, algorithm.prepare(limit, cost), now_us)
    return state, Usage(*algorithm.tell(limit, cost, allowed, state, now_us))


def longest_us(limit: Limit) -> int:
    """Return the time after which a limit has forgotten whatever came before."""
    if limit.algorithm == "token_bucket":
        return -(-limit.capacity * limit.period_us // limit.rate)
    return 2 * (limit.period_us or 31 * DAY)
