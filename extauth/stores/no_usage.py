"""The usage of a server that has counted nothing yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from extauth.stores.usage import Batch, Cell, Page, Period, Ranked, Reading, Selection


class NoUsage:
    """What there is where nobody has counted yet. See `UsageStore`."""

    at_once = 1

    async def add(self, _batch: Batch) -> bool:
        """Refuse: nobody opens this to count."""
        raise AssertionError("this was opened to be read")

    async def note(self, _process: str, _number: int, _pages: Sequence[Page]) -> bool:
        """Refuse, as above."""
        raise AssertionError("this was opened to be read")

    async def journals(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}

    async def take_over(self, _process: str, _number: int) -> Sequence[str]:
        """Return nothing."""
        return ()

    async def fold(self, _process: str, _page: str, _number: int = 0) -> None:
        """There is nothing."""

    async def top(self, _selection: Selection) -> Sequence[Ranked]:
        """Return nothing."""
        return ()

    async def read(self, _selection: Selection) -> Sequence[Reading]:
        """Return nothing."""
        return ()

    async def refusals(self, _key_id: str) -> Sequence[str]:
        """Return nothing."""
        return ()

    async def names(self, _period: Period) -> Sequence[str]:
        """Return nothing."""
        return ()

    async def cells(self, _period: Period, _names: Sequence[str]) -> Sequence[Cell]:
        """Return nothing."""
        return ()

    async def take_in(self, _period: Period, _cells: Sequence[Cell], _now: int) -> int:
        """Refuse, as above."""
        raise AssertionError("this was opened to be read")

    async def close(self) -> None:
        """Nothing to let go of."""
