"""The token bucket on the vectors that every implementation of it has to reproduce."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from extauth.limits.algorithm import BucketState
from extauth.limits.registry import ALGORITHMS, DEFAULT_ALGORITHM
from extauth.limits.token_bucket import step
from extauth.model import Limit

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "token_bucket.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector(vector: Mapping[str, Any]) -> None:
    """Each step answers as written down."""
    state: BucketState | None = None
    for number, expected in enumerate(vector["steps"]):
        limit = Limit(name="x", **expected.get("limit", vector["limit"]))
        state, usage = step(state, limit, expected["cost"], expected["at_us"])
        assert usage.limit is limit
        answer = {name: getattr(usage, name) for name in ("allowed", "remaining", "reset_us", "retry_us")}
        assert answer == {name: expected[name] for name in answer}, f"step {number}"


def test_it_is_the_default() -> None:
    """What the configuration calls a rate is a token bucket."""
    assert ALGORITHMS[DEFAULT_ALGORITHM] is step
