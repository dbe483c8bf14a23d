"""The cool-down against a model that remembers each violation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extauth.limits.algorithm import BucketState
from extauth.limits.cool_down import COOL_DOWN, violate
from extauth.model import Limit, Usage
from tests.property.limit_strategies import JUMPS_US, SECOND, START_US

LIMITS = st.builds(
    lambda violations, window_s, pause_s, times: Limit(
        "cool-down",
        violations,
        violations,
        window_s * SECOND,
        "cool_down",
        pause_us=pause_s * SECOND,
        longest_us=pause_s * times * SECOND,
    ),
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(1, 30),
    st.integers(1, 40),
)
PASSED_US = st.integers(0, 20 * SECOND) | st.integers(0, 2_000 * SECOND)


class Model:
    """Says from the times of violations alone when a client is refused, and until when."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.counted: list[int] = []
        self.waits: list[int] = []
        self.until_us = 0

    def violate(self, now_us: int) -> None:
        """Note one violation."""
        if now_us < self.until_us:
            return
        if now_us >= self.until_us + self.limit.longest_us:
            self.waits = []
        if self.counted and now_us - self.counted[0] >= self.limit.period_us:
            self.counted = []
        self.counted.append(now_us)
        if len(self.counted) == self.limit.capacity:
            wait_us = min(self.waits[-1] * 2 if self.waits else self.limit.pause_us, self.limit.longest_us)
            self.counted = []
            self.waits.append(wait_us)
            self.until_us = now_us + wait_us


@given(limit=LIMITS, moves=st.lists(st.tuples(PASSED_US, st.booleans()), max_size=80))
def test_it_refuses_when_the_model_does_and_tells_how_long(
    limit: Limit, moves: list[tuple[int, bool]]
) -> None:
    """Never before there are enough violations, twice as long each time up to the longest, and no longer."""
    model, state, now_us = Model(limit), None, START_US
    numbers = COOL_DOWN.prepare(limit, 1)
    for passed_us, violates in moves:
        now_us += passed_us
        if violates:
            model.violate(now_us)
            state = violate(state, numbers, now_us)
        allowed, after = COOL_DOWN.step(state, numbers, now_us)
        usage = Usage(*COOL_DOWN.tell(limit, 1, allowed, after, now_us))
        assert allowed is (now_us >= model.until_us)
        assert usage.retry_us == max(model.until_us - now_us, 0)
        assert usage.remaining == 0 or allowed
        if now_us >= after[3]:
            # What may be forgotten then makes no difference.
            state = None


@given(limit=LIMITS, moves=st.lists(st.tuples(JUMPS_US, st.integers(0, 9)), min_size=1, max_size=40))
def test_wherever_the_clock_jumps_nobody_waits_longer_than_the_longest(
    limit: Limit, moves: list[tuple[int, int]]
) -> None:
    """And whoever waits as long as told passes."""
    state: BucketState | None = None
    numbers = COOL_DOWN.prepare(limit, 1)
    now_us = START_US
    for jump_us, count in moves:
        now_us = max(now_us + jump_us, 0)
        if count:
            state = violate(state, (*numbers[:4], count), now_us)
        allowed, state = COOL_DOWN.step(state, numbers, now_us)
        usage = Usage(*COOL_DOWN.tell(limit, 1, allowed, state, now_us))
        assert 0 <= usage.retry_us <= limit.longest_us
        assert COOL_DOWN.step(state, numbers, now_us + usage.retry_us)[0]
