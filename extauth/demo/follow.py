"""Follows extauth's log as it grows and shows its decisions. It knows neither processes nor proxies."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from extauth.demo import lines
from extauth.demo.terminal import say

# A terminal can't show what a load generator causes: of more than these at once, only the last are shown.
_SHOWN_AT_ONCE = 100
_CHUNK_BYTES = 8 * 1024 * 1024


class Follower:
    """Shows what is new in the log each time it is asked to."""

    def __init__(self, log: Path, console: Console) -> None:
        self._file = log.open("rb")
        self._console = console
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log."""
        self._file.close()

    def show_new(self) -> None:
        """Show the lines that were written since the last time; half a line waits for its other half."""
        *whole, self._rest = (self._rest + self._file.read(_CHUNK_BYTES)).split(b"\n")
        if len(whole) > _SHOWN_AT_ONCE:
            skipped = len(whole) - _SHOWN_AT_ONCE
            say(self._console, f"… {skipped} more lines, all of them in {self._file.name}", "dim")
        for line in whole[-_SHOWN_AT_ONCE:]:
            if (text := lines.shown(line)) is not None:
                say(self._console, text)
