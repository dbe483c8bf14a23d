"""Which parts work.

Each is named, starts unhealthy, and reports itself; readiness is all of them together. Beside them stand
parts that an operator should see to, while checks are answered as they should be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

STARTING = "starting"
STOPPING = "stopping"
# The part that is named once the server stops, and only then.
_SERVER = "server"


class Readiness(Protocol):
    """What the page `/readyz` shows."""

    @property
    def ready(self) -> bool:
        """Tell whether a proxy may send checks."""
        ...

    def page(self) -> Mapping[str, Mapping[str, str]]:
        """Return what is told beside that: groups of parts, each part with its problem or `ok`."""
        ...


class Health:
    """The state of the parts.

    An empty text is well, anything else says what is wrong. `on_change` hears of each change once. Parts
    that are `advisory` start well and never keep the server from being ready; `on_change` hears nothing of
    them.
    """

    def __init__(
        self,
        *parts: str,
        advisory: Sequence[str] = (),
        on_change: Callable[[str, str], None] = lambda _part, _problem: None,
    ) -> None:
        self._problems = {**dict.fromkeys(parts, STARTING), **dict.fromkeys(advisory, "")}
        self._advisory = frozenset(advisory)
        self._on_change = on_change

    def report(self, part: str, problem: str = "") -> None:
        """Say how a part is."""
        if self._problems[part] != problem:
            self._problems[part] = problem
            if part not in self._advisory:
                self._on_change(part, problem)

    def stop(self) -> None:
        """Be ready no more, because the server stops: nothing that failed, so nobody hears of it."""
        self._problems[_SERVER] = STOPPING

    @property
    def ready(self) -> bool:
        """Tell whether everything works that checks need."""
        return not any(problem for part, problem in self._problems.items() if part not in self._advisory)

    @property
    def parts(self) -> Mapping[str, str]:
        """Return what is wrong with each part, empty where nothing is."""
        return dict(self._problems)

    def page(self) -> Mapping[str, Mapping[str, str]]:
        """Return the parts as the page shows them. See `Readiness`."""
        return {"parts": {part: problem or "ok" for part, problem in self._problems.items()}}


def log_change(part: str, problem: str) -> None:
    """Log how a part is now."""
    log = structlog.get_logger("extauth.health")
    if problem:
        log.error("part_failed", part=part, problem=problem)
    else:
        log.info("part_works", part=part)
