"""Names that each end at some time, unless they are taken away before or their time is moved."""

from __future__ import annotations

import sys
from collections import deque
from heapq import heappop, heappush

# How many entries that mean nothing any more are kept beside as many as there are names.
_SPARE = 64


class Ends:
    """When names end, in microseconds. What is over is found without a look at what is not.

    `until` has them by name; only the methods may change it.
    """

    __slots__ = ("_others", "_row", "until")

    def __init__(self) -> None:
        self.until: dict[str, int] = {}
        # Nearly all come in the order in which they end, and stand in a row; the others are a heap. An entry
        # means nothing if the name has another time by now, or none.
        self._row: deque[tuple[int, str]] = deque()
        self._others: list[tuple[int, str]] = []

    def put(self, name: str, until_us: int) -> None:
        """Have a name end then, whatever it had before."""
        row = self._row
        self.until[name] = until_us
        if not row or row[-1][0] <= until_us:
            row.append((until_us, name))
        else:
            heappush(self._others, (until_us, name))
        if len(row) + len(self._others) > 2 * len(self.until) + _SPARE:
            self._row = deque(sorted((until_us, name) for name, until_us in self.until.items()))
            self._others = []

    def drop(self, name: str) -> bool:
        """Take a name away; tell whether it was there."""
        return self.until.pop(name, None) is not None

    def over(self, now_us: int, at_most: int = sys.maxsize) -> list[str]:
        """Take away the names whose time is over, and return them."""
        entries: list[tuple[int, str]] = []
        row, others = self._row, self._others
        while row and row[0][0] <= now_us and len(entries) < at_most:
            entries.append(row.popleft())
        while others and others[0][0] <= now_us and len(entries) < at_most:
            entries.append(heappop(others))
        names = [name for until_us, name in entries if self.until.get(name) == until_us]
        for name in names:
            self.until.pop(name, None)
        return names

    def has_over(self, now_us: int) -> bool:
        """Tell whether there may be names whose time is over."""
        row, others = self._row, self._others
        return bool((row and row[0][0] <= now_us) or (others and others[0][0] <= now_us))
