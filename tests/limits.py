"""Limits for tests: the vectors that all implementations share, and plans without a planner's settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from extauth.clock import to_us
from extauth.limits.algorithm import Algorithm, BucketState, Numbers
from extauth.limits.plan import Charge, Plan, Planner, Subjects
from extauth.limits.registry import ALGORITHMS
from extauth.model import Decision, Limit, Usage
from extauth.stores.limits import Taken

VECTORS = Path(__file__).parent / "vectors"


def told_by(answer: Taken | Decision) -> tuple[Usage, ...]:
    """Return what it says of each limit, by name."""
    return tuple(Usage(*usage) for usage in answer.usages)


@dataclass(frozen=True)
class VectorStep:
    """One step of a vector; one that gives back or violates expects a state only."""

    limit: Limit
    now_us: int
    cost: int
    gives_back: bool
    violates: int
    expected: Mapping[str, object]
    state: BucketState

    @property
    def numbers(self) -> Numbers:
        """What an implementation is given of the limit and the cost."""
        numbers = ALGORITHMS[self.limit.algorithm].prepare(self.limit, self.cost)
        return (*numbers[:4], self.violates) if self.violates else numbers


@dataclass(frozen=True)
class Vector:
    """A sequence of steps on one bucket, and what must come of each."""

    algorithm: Algorithm
    name: str
    steps: tuple[VectorStep, ...]

    def __str__(self) -> str:
        return f"{self.algorithm.name}: {self.name}"


def vectors() -> list[Vector]:
    """Return the vectors of all algorithms."""
    return [
        Vector(algorithm, vector["name"], tuple(_steps(algorithm, vector)))
        for algorithm in ALGORITHMS.values()
        for vector in json.loads((VECTORS / f"{algorithm.name}.json").read_text())
    ]


def _steps(algorithm: Algorithm, vector: Mapping[str, Any]) -> list[VectorStep]:
    """Read steps. One with nothing but a limit changes it for those that follow."""
    limit, steps = _limit(algorithm, vector["limit"]), []
    for step in vector["steps"]:
        if "limit" in step:
            limit = _limit(algorithm, step["limit"])
            continue
        first, second, third, last = (_us(value) for value in step["state"])
        steps.append(
            VectorStep(
                limit=limit,
                now_us=_us(step["at"] if "at" in step else step["at_us"]),
                cost=step["give_back"] if "give_back" in step else step.get("cost", 0),
                gives_back="give_back" in step,
                violates=step.get("violate", 0),
                expected=step,
                state=(first, second, third, last),
            )
        )
    return steps


def _limit(algorithm: Algorithm, numbers: Mapping[str, int]) -> Limit:
    rate = numbers.get("rate", numbers["capacity"])
    return Limit("x", numbers["capacity"], rate, numbers["period_us"], algorithm.name)._replace(
        pause_us=numbers.get("pause_us", 0), longest_us=numbers.get("longest_us", 0)
    )


def _us(value: int | str) -> int:
    return value if isinstance(value, int) else to_us(datetime.fromisoformat(value))


_PLANNER = Planner({}, parse_own=lambda _: ())


def plan_of(*limits: Limit, key: str = "k", cost: int = 1) -> Plan:
    """Return what a request of a key takes under these limits."""
    return _PLANNER.plan(limits, Charge(cost=cost), Subjects(key_id=key, user_id="u", tier="t"))


def window(name: str, capacity: int, period_us: int, *, kind: str = "fixed", shadow: bool = False) -> Limit:
    """Return a limit that counts in windows, `fixed` or `sliding`."""
    return Limit(name, capacity, capacity, period_us, f"{kind}_window", shadow=shadow)
