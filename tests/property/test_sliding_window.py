"""The sliding window counter against a model: a list of who came when, counted anew at each request."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from extauth.model import Limit
from tests.property.limit_strategies import (
    COSTS,
    SLIDING_WINDOWS,
    START_US,
    Cost,
    requests_of,
    take,
)

# Requests come within a window, some windows later, or, where the clock steps back, a little earlier.
PARTS = st.fractions(0, 1) | st.fractions(0, 3) | st.fractions(Fraction(-1, 2), 0)


class Model:
    """All that were let in. Those of the window before count as if they had come evenly over it."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.admitted: list[tuple[int, int]] = []
        # The window that the clock was in last; it goes back only where nothing counts any more.
        self.window = 0

    def counted(self, now_us: int) -> int:
        """Return what counts at a time; before the last window's begin no time has passed."""
        window_us = self.limit.period_us
        window = self.window = max(now_us // window_us, self.window)
        self.admitted = [(of, cost) for of, cost in self.admitted if of >= window - 1]
        if not self.admitted:
            self.window = now_us // window_us
            return 0
        passed_us = max(now_us - window * window_us, 0)
        slice_us = max(1, window_us // 1_000_000)
        slices = ceil(Fraction(window_us, slice_us))
        rest = 1 - Fraction(passed_us // slice_us, slices)
        return self._of(window) + ceil(self._of(window - 1) * rest)

    def take(self, cost: int, now_us: int) -> bool:
        """Let a request in if it fits."""
        allowed = self.counted(now_us) + cost <= self.limit.capacity or cost == 0
        if allowed and cost:
            self.admitted.append((self.window, cost))
        return allowed

    def _of(self, window: int) -> int:
        return sum(cost for of, cost in self.admitted if of == window)


def moments(limit: Limit, parts: list[Fraction]) -> list[int]:
    """Return times that are so many windows apart, never more than a window before the latest."""
    latest_us = now_us = START_US
    found = []
    for part in parts:
        now_us = max(now_us + int(part * limit.period_us), latest_us - limit.period_us + 1)
        latest_us = max(latest_us, now_us)
        found.append(now_us)
    return found


@given(SLIDING_WINDOWS, st.lists(st.tuples(COSTS, PARTS), max_size=30))
def test_it_does_what_the_model_does(limit: Limit, requests: list[tuple[Cost, Fraction]]) -> None:
    """On every sequence of requests, with time passing, standing still and stepping back."""
    model, state = Model(limit), None
    times = moments(limit, [part for _, part in requests])
    for (cost, _), now_us in zip(requests, times, strict=True):
        wanted = requests_of(cost, limit)
        state, usage = take(state, limit, wanted, now_us)
        assert usage.allowed is model.take(wanted, now_us)
        assert usage.remaining == max(limit.capacity - model.counted(now_us), 0)


@given(SLIDING_WINDOWS, st.lists(st.tuples(COSTS, st.fractions(0, 1)), max_size=40))
def test_no_window_admits_more_than_the_capacity(limit: Limit, requests: list[tuple[Cost, Fraction]]) -> None:
    """Of the clock's; and no stretch as long as a window twice of it, however the requests come."""
    state, admitted = None, []
    times = moments(limit, [part for _, part in requests])
    for (cost, _), now_us in zip(requests, times, strict=True):
        state, usage = take(state, limit, requests_of(cost, limit), now_us)
        if usage.allowed:
            admitted.append((now_us, requests_of(cost, limit)))
    for start_us, _ in admitted:
        window = start_us // limit.period_us
        assert sum(c for at_us, c in admitted if at_us // limit.period_us == window) <= limit.capacity
        within = (c for at_us, c in admitted if start_us <= at_us < start_us + limit.period_us)
        assert sum(within) <= 2 * limit.capacity


@given(SLIDING_WINDOWS, SLIDING_WINDOWS, st.lists(st.tuples(COSTS, st.fractions(0, 1)), max_size=8))
def test_another_length_gives_nothing_away(
    before: Limit, after: Limit, requests: list[tuple[Cost, Fraction]]
) -> None:
    """What counted at the moment of the change counts the same right after it."""
    after = after._replace(capacity=before.capacity)
    model, state, now_us = Model(before), None, START_US
    for (cost, _), at_us in zip(requests, moments(before, [part for _, part in requests]), strict=True):
        now_us = at_us
        state, _ = take(state, before, requests_of(cost, before), now_us)
        model.take(requests_of(cost, before), now_us)
    remaining = take(state, after, 0, now_us)[1].remaining
    assert remaining == before.capacity - model.counted(now_us)
