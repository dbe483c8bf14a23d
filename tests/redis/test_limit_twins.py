"""What Redis does with a limit is what this server does with it, to the microsecond."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.limits.registry import ALGORITHMS
from extauth.model import CALENDAR_MONTH, Limit
from tests.limits import Vector, vectors
from tests.property.limit_strategies import COSTS, COUNTS, DAY, SECOND, START_US, limit_of, requests_of
from tests.redis.server import RedisServer
from tests.redis.twins import TwinStep, run_in_lua, run_in_python

PERIODS: Mapping[str, st.SearchStrategy[int]] = {
    "token_bucket": st.sampled_from([1_000, SECOND, 7 * SECOND, 3_600 * SECOND, 30 * DAY]),
    "sliding_window": st.sampled_from([1_000, SECOND, 1_999_999, 7_000_001, 3_600 * SECOND, 30 * DAY])
    | st.integers(1, 400 * DAY),
    "cool_down": st.sampled_from([1_000, SECOND, 60 * SECOND, DAY]),
    "fixed_window": st.sampled_from([CALENDAR_MONTH, SECOND, 60 * SECOND, 3_600 * SECOND, DAY, 7 * DAY]),
}
MOVES_US = st.one_of(
    st.integers(0, 3 * SECOND),
    st.integers(-5 * SECOND, 5 * SECOND),
    st.integers(-(10**13), 10**13),
    st.integers(-70, 70).map(lambda days: days * DAY),
)


@st.composite
def sequences(draw: st.DrawFn, name: str) -> list[TwinStep]:
    """Draw steps on one bucket: mostly takes under one of two limits, while the clock goes anywhere."""
    periods = PERIODS[name]
    limits = [limit_of(name, draw(COUNTS), draw(COUNTS), draw(periods)) for _ in range(2)]
    now_us, steps = START_US, []
    for _ in range(draw(st.integers(1, 60))):
        limit = limits[draw(st.sampled_from([0, 0, 0, 1]))]
        cost = requests_of(draw(COSTS), limit)
        now_us += draw(MOVES_US)
        if name == "cool_down":
            limit = limit._replace(pause_us=SECOND, longest_us=60 * SECOND)
        numbers = ALGORITHMS[name].prepare(limit, cost)
        if name == "cool_down" and draw(st.booleans()):
            steps.append(TwinStep(False, (*numbers[:4], draw(st.integers(1, 60))), now_us, violates=True))
        steps.append(TwinStep(draw(st.sampled_from([False, False, False, True])), numbers, now_us))
    return steps


@pytest.mark.parametrize("vector", vectors(), ids=str)
def test_a_vector(server: RedisServer, vector: Vector) -> None:
    """The twin takes, refuses and remembers as written down."""
    steps = [TwinStep(step.gives_back, step.numbers, step.now_us, step.violates > 0) for step in vector.steps]
    assert run_in_lua(server, vector.algorithm, steps) == [
        (step.expected.get("allowed", True), step.state) for step in vector.steps
    ]


@pytest.mark.parametrize("name", list(ALGORITHMS))
@given(data=st.data())
def test_any_sequence(server: RedisServer, name: str, data: st.DataObject) -> None:
    """With limits and clocks that change, and takes that are given back, the twins never come apart."""
    steps = data.draw(sequences(name))
    algorithm = ALGORITHMS[name]
    assert run_in_lua(server, algorithm, steps) == run_in_python(algorithm, steps)


def test_every_month_of_two_centuries(server: RedisServer) -> None:
    """The calendar in Lua has the same months, from the first microsecond to the last."""
    algorithm = ALGORITHMS["fixed_window"]
    numbers = algorithm.prepare(Limit("x", 1, 1, CALENDAR_MONTH, "fixed_window"), 1)
    steps, start_us = [], 0
    for _ in range(200 * 12):
        _, (_, _, _, end_us) = algorithm.step(None, numbers, start_us)
        steps += [TwinStep(False, numbers, start_us), TwinStep(False, numbers, end_us - 1)]
        start_us = end_us
    assert start_us == (200 * 365 + 49) * DAY
    assert run_in_lua(server, algorithm, steps) == run_in_python(algorithm, steps)
