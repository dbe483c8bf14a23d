"""The token bucket against a model in exact fractions, written from what a token bucket is."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from extauth.limits.algorithm import BucketState
from extauth.limits.token_bucket import step
from extauth.model import Limit, Usage

LIMITS = st.builds(
    Limit,
    name=st.just("x"),
    capacity=st.integers(1, 50) | st.integers(1, 1_000_000_000),
    rate=st.integers(1, 50) | st.integers(1, 1_000_000_000),
    period_us=st.sampled_from([1_000, 1_000_000, 7_000_000, 3_600_000_000, 2_592_000_000_000]),
)
# Costs beside the small ones are parts of the capacity, so that large buckets get empty too.
COSTS = st.integers(0, 5) | st.fractions(0, 1)
START_US = 1_772_366_400_000_000


def requests_of(cost: int | Fraction, limit: Limit) -> int:
    """Return a cost that could pass at all."""
    return min(cost, limit.capacity) if isinstance(cost, int) else int(cost * limit.capacity)


class Model:
    """A bucket as a fraction of a request: what was spent, and when that was so."""

    def __init__(self) -> None:
        self.spent = Fraction(0)
        self.at_us = 0
        self.limit: Limit | None = None

    def take(self, limit: Limit, cost: int, now_us: int) -> Usage:
        """Take by the book."""
        if self.limit is not None and self.limit != limit:
            level = self.spent / self.limit.capacity
            self.spent = Fraction(ceil(level * limit.capacity * limit.period_us), limit.period_us)
        self.limit = limit
        each_us = Fraction(limit.rate, limit.period_us)
        self.spent = max(Fraction(0), self.spent - max(0, now_us - self.at_us) * each_us)
        self.at_us = now_us
        missing = self.spent + cost - limit.capacity
        if missing <= 0:
            self.spent += cost
        remaining = floor(limit.capacity - self.spent)
        retry_us = ceil(missing / each_us) if missing > 0 else 0
        return Usage(limit, missing <= 0, remaining, ceil(self.spent / each_us), retry_us)


@given(
    LIMITS,
    st.lists(
        st.tuples(COSTS, st.integers(-5_000_000, 5_000_000) | st.integers(-(10**13), 10**13)), max_size=30
    ),
)
def test_it_does_what_the_model_does(limit: Limit, requests: list[tuple[int | Fraction, int]]) -> None:
    """On every sequence of requests, with time passing, standing still and jumping back."""
    model, state, now_us = Model(), None, START_US
    for cost, passed_us in requests:
        now_us += passed_us
        state, usage = step(state, limit, requests_of(cost, limit), now_us)
        assert usage == model.take(limit, requests_of(cost, limit), now_us)


@given(st.lists(st.tuples(LIMITS, COSTS, st.integers(-1_000, 10_000_000)), max_size=20))
def test_a_changed_limit_carries_over_as_in_the_model(
    requests: list[tuple[Limit, int | Fraction, int]],
) -> None:
    """Capacity, rate and period may change at any request; the fill level stays in proportion."""
    model, state, now_us = Model(), None, START_US
    for limit, cost, passed_us in requests:
        now_us += passed_us
        state, usage = step(state, limit, requests_of(cost, limit), now_us)
        assert usage == model.take(limit, requests_of(cost, limit), now_us)
        assert 0 <= usage.remaining <= limit.capacity


@given(LIMITS, st.lists(st.tuples(COSTS, st.integers(0, 3_000_000)), max_size=40))
def test_it_never_admits_more_than_the_limit_says(
    limit: Limit, requests: list[tuple[int | Fraction, int]]
) -> None:
    """In every stretch of time no more than the capacity, and what refills in it, gets through."""
    state, now_us, admitted = None, START_US, []
    for cost, passed_us in requests:
        now_us += passed_us
        state, usage = step(state, limit, requests_of(cost, limit), now_us)
        assert 0 <= usage.remaining <= limit.capacity
        if usage.allowed:
            admitted.append((now_us, requests_of(cost, limit)))
    for first, (start_us, _) in enumerate(admitted):
        total = 0
        for end_us, cost_taken in admitted[first:]:
            total += cost_taken
            assert total <= limit.capacity + Fraction((end_us - start_us) * limit.rate, limit.period_us)


def spent_bucket(limit: Limit, spend: list[int | Fraction]) -> BucketState | None:
    """Return the state after some spending at one moment."""
    state = None
    for cost in spend:
        state, _ = step(state, limit, requests_of(cost, limit), START_US)
    return state


@given(LIMITS, st.lists(COSTS, max_size=10), COSTS)
def test_the_time_to_wait_is_true(limit: Limit, spend: list[int | Fraction], cost: int | Fraction) -> None:
    """A refused request passes exactly when it was told to come again, and not one microsecond earlier."""
    state = spent_bucket(limit, [*spend, Fraction(1)])
    wanted = requests_of(cost, limit)
    refused_state, usage = step(state, limit, wanted, START_US)
    if usage.allowed:
        return
    assert usage.retry_us > 0
    for start in (state, refused_state):
        assert step(start, limit, wanted, START_US + usage.retry_us)[1].allowed
        assert not step(start, limit, wanted, START_US + usage.retry_us - 1)[1].allowed


@given(LIMITS, st.lists(COSTS, max_size=10))
def test_the_time_until_nothing_is_spent_is_true(limit: Limit, spend: list[int | Fraction]) -> None:
    """At the reset all of the capacity is there, one microsecond before it is not; the state tells when."""
    state = spent_bucket(limit, spend)
    if state is None:
        return
    usage = step(state, limit, 0, START_US)[1]
    assert state[3] == START_US + usage.reset_us
    assert step(state, limit, limit.capacity, START_US + usage.reset_us)[1].allowed
    if usage.reset_us:
        assert not step(state, limit, limit.capacity, START_US + usage.reset_us - 1)[1].allowed


@given(LIMITS, st.lists(COSTS, max_size=10), COSTS, st.integers(-10_000_000, 10_000_000))
def test_looking_and_being_refused_take_nothing(
    limit: Limit, spend: list[int | Fraction], cost: int | Fraction, passed_us: int
) -> None:
    """A cost of 0 and a refusal leave the bucket as it would be without them."""
    state = spent_bucket(limit, spend)
    now_us = START_US + passed_us
    looked, look = step(state, limit, 0, now_us)
    assert look.allowed
    after, usage = step(state, limit, requests_of(cost, limit), now_us)
    if not usage.allowed:
        assert (usage.remaining, usage.reset_us) == (look.remaining, look.reset_us)
        assert step(after, limit, 0, now_us)[1] == look
    assert step(looked, limit, 0, now_us)[1] == look


@given(LIMITS, st.lists(COSTS, min_size=1, max_size=5), st.integers(-(10**15), 10**15))
def test_a_jump_of_the_clock_locks_nobody_out(
    limit: Limit, spend: list[int | Fraction], jump_us: int
) -> None:
    """Wherever the clock jumps, from there on the bucket is full again after the time it always takes."""
    state, _ = step(spent_bucket(limit, spend), limit, 0, START_US + jump_us)
    full_after_us = -(-limit.capacity * limit.period_us // limit.rate)
    assert step(state, limit, limit.capacity, START_US + jump_us + full_after_us)[1].allowed
