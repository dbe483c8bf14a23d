"""Which parts work.

Each is named, starts unhealthy, and reports itself; readiness is all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

STARTING = "starting"


class Health:
    """The state of the parts.

    An empty text is well, anything else says what is wrong. `on_change` hears of each change once.
    """

    def __init__(
        self, *parts: str, on_change: Callable[[str, str], None] = lambda _part, _problem: None
    ) -> None:
        self._problems = dict.fromkeys(parts, STARTING)
        self._on_change = on_change

    def report(self, part: str, problem: str = "") -> None:
        """Say how a part is."""
        if self._problems[part] != problem:
            self._problems[part] = problem
            self._on_change(part, problem)

    @property
    def ready(self) -> bool:
        """Tell whether everything works."""
        return not any(self._problems.values())

    @property
    def parts(self) -> Mapping[str, str]:
        """Return what is wrong with each part, empty where nothing is."""
        return dict(self._problems)
