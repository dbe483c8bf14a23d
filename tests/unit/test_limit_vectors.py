"""The limit algorithms on the vectors that every implementation of them has to reproduce."""

from __future__ import annotations

import pytest

from extauth.limits.algorithm import BucketState
from extauth.limits.cool_down import violate
from extauth.limits.registry import ALGORITHMS, DEFAULT_ALGORITHM
from extauth.model import Usage
from tests.limits import Vector, vectors


@pytest.mark.parametrize("vector", vectors(), ids=str)
def test_a_vector(vector: Vector) -> None:
    """Each step answers as written down, and leaves the state that is written down."""
    algorithm = vector.algorithm
    state: BucketState | None = None
    for number, step in enumerate(vector.steps):
        if step.violates:
            state = violate(state, step.numbers, step.now_us)
        elif step.gives_back:
            state = algorithm.give_back(state, step.numbers, step.now_us)
        else:
            allowed, state = algorithm.step(state, step.numbers, step.now_us)
            usage = Usage(*algorithm.tell(step.limit, step.cost, allowed, state, step.now_us))
            assert usage.limit is step.limit
            answer = {name: getattr(usage, name) for name in ("allowed", "remaining", "reset_us", "retry_us")}
            assert answer == {name: step.expected[name] for name in answer}, f"step {number}"
            assert usage.allowed is allowed
        assert state == step.state, f"step {number}"


def test_a_rate_is_a_token_bucket() -> None:
    """What the configuration says without naming an algorithm, and what states of old are."""
    assert DEFAULT_ALGORITHM == "token_bucket"


def test_numbers_of_algorithms_never_change() -> None:
    """Servers of several versions share one Redis, whose scripts know algorithms by these."""
    numbers = {name: algorithm.number for name, algorithm in ALGORITHMS.items()}
    assert numbers == {"token_bucket": 1, "sliding_window": 2, "fixed_window": 3, "cool_down": 4}
