"""The token bucket against a model in exact fractions, written from what a token bucket is."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from hypothesis import given
from hypothesis import strategies as st

from extauth.model import Limit, Usage
from tests.property.limit_strategies import (
    COSTS,
    JUMPS_US,
    SECOND,
    START_US,
    TOKEN_BUCKETS,
    Cost,
    requests_of,
    take,
)


class Model:
    """A bucket as a fraction of a request: what was spent, and when that was so."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.each_us = Fraction(limit.rate, limit.period_us)
        self.spent = Fraction(0)
        self.at_us = 0

    def take(self, cost: int, now_us: int) -> Usage:
        """Take by the book."""
        self.spent = max(Fraction(0), self.spent - max(0, now_us - self.at_us) * self.each_us)
        self.at_us = now_us
        missing = self.spent + cost - self.limit.capacity
        if missing <= 0:
            self.spent += cost
        remaining = floor(self.limit.capacity - self.spent)
        retry_us = ceil(missing / self.each_us) if missing > 0 else 0
        return Usage(self.limit, missing <= 0, remaining, ceil(self.spent / self.each_us), retry_us)


@given(TOKEN_BUCKETS, st.lists(st.tuples(COSTS, JUMPS_US), max_size=30))
def test_it_does_what_the_model_does(limit: Limit, requests: list[tuple[Cost, int]]) -> None:
    """On every sequence of requests, with time passing, standing still and jumping back."""
    model, state, now_us = Model(limit), None, START_US
    for cost, passed_us in requests:
        now_us += passed_us
        state, usage = take(state, limit, requests_of(cost, limit), now_us)
        assert usage == model.take(requests_of(cost, limit), now_us)


@given(TOKEN_BUCKETS, TOKEN_BUCKETS, st.lists(COSTS, max_size=5))
def test_a_changed_limit_keeps_the_fill_level(before: Limit, after: Limit, costs: list[Cost]) -> None:
    """In proportion, to the microsecond of refill: never less is spent, and two microseconds more at most."""
    model, state = Model(before), None
    for cost in costs:
        state, _ = take(state, before, requests_of(cost, before), START_US)
        model.take(requests_of(cost, before), START_US)
    usage = take(state, after, 0, START_US)[1]
    level = model.spent / before.capacity
    full_us = Fraction(after.capacity * after.period_us, after.rate)
    # What the state remembers of the bucket before is whole microseconds.
    whole_us = max(1, before.capacity * before.period_us // before.rate)
    tolerated_us = 2 + full_us * 2 / whole_us + full_us / 2**50
    assert abs(usage.reset_us - level * full_us) <= tolerated_us


@given(TOKEN_BUCKETS, st.lists(st.tuples(COSTS, st.integers(0, 3 * SECOND)), max_size=40))
def test_it_never_admits_more_than_the_limit_says(limit: Limit, requests: list[tuple[Cost, int]]) -> None:
    """In every stretch of time no more than the capacity, and what refills in it, gets through."""
    state, now_us, admitted = None, START_US, []
    for cost, passed_us in requests:
        now_us += passed_us
        state, usage = take(state, limit, requests_of(cost, limit), now_us)
        if usage.allowed:
            admitted.append((now_us, requests_of(cost, limit)))
    for first, (start_us, _) in enumerate(admitted):
        total = 0
        for end_us, cost_taken in admitted[first:]:
            total += cost_taken
            assert total <= limit.capacity + Fraction((end_us - start_us) * limit.rate, limit.period_us)
