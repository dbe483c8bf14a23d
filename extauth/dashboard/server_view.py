"""What a server knows of itself: its health, its workers, and what all of its processes have counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric

from extauth.clock import MICROSECONDS, Clock
from extauth.health import Readiness
from extauth.model import Code
from extauth.usage.report import OUTCOME_NAMES
from extauth.usage.tracker import POSITIONS

# A rate is measured over so long at least, and never over longer than that, in microseconds.
_SHORTEST_US = MICROSECONDS // 2
_LONGEST_US = 30 * MICROSECONDS
_CHECKS = "extauth_checks_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerView:
    """What the process behind the admin listener shows. `refresh` gathers what its workers have counted."""

    health: Readiness
    collect: Callable[[], Iterable[Metric]]
    refresh: Callable[[], Awaitable[None]]

    def condition(self) -> Mapping[str, Any]:
        """Return whether checks are answered, how each part is, and each worker where there are several."""
        return {"ready": self.health.ready, **self.health.page()}

    async def counters(self) -> Mapping[str, Mapping[tuple[str, ...], float]]:
        """Return all that was counted: by name, then by the values of the labels."""
        await self.refresh()
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for metric in self.collect():
            for sample in metric.samples:
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return found


class Rates:
    """How many checks there are a second, by what comes of them, between two looks at what was counted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_us = 0
        self._seen: Mapping[str, float] = {}
        self._rates: Mapping[str, float] | None = None

    def of(self, checks: Mapping[tuple[str, ...], float]) -> Mapping[str, float] | None:
        """Return the rates; None at the first look, and where the last one was too long ago."""
        now_us = self._clock.now_us()
        passed_us = now_us - self._at_us
        if 0 <= passed_us < _SHORTEST_US:
            return self._rates
        counts = dict.fromkeys(OUTCOME_NAMES, 0.0)
        for labels, value in checks.items():
            counts[OUTCOME_NAMES[POSITIONS[Code(labels[-1])]]] += value
        is_fresh = 0 < passed_us <= _LONGEST_US
        self._rates = (
            {name: _rate(counts[name] - self._seen[name], passed_us) for name in OUTCOME_NAMES}
            if is_fresh
            else None
        )
        self._seen, self._at_us = counts, now_us
        return self._rates


def checks_in(counters: Mapping[str, Mapping[tuple[str, ...], float]]) -> Mapping[tuple[str, ...], float]:
    """Return what was counted of checks; the last label is the code."""
    return counters.get(_CHECKS, {})


def _rate(number: float, passed_us: int) -> float:
    return round(max(number, 0) * MICROSECONDS / passed_us, 1)
