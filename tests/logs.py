"""Log lines kept in a list, and the logging libraries left as they were found."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from extauth.telemetry.lines import LineWriter
from extauth.telemetry.logs import configure_logging


class ListedLines(LineWriter):
    """Takes lines and keeps them, where the real one writes them to a file."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def write(self, line: bytes) -> None:
        """Take one line."""
        self.taken.append(line)

    def write_several(self, lines: Sequence[bytes]) -> None:
        """Take lines."""
        self.taken += lines

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines about that event, parsed."""
        return [parsed for line in self.taken if (parsed := json.loads(line))["event"] == name]


@contextmanager
def logging_to(lines: LineWriter, *, level: str = "info") -> Iterator[None]:
    """Configure logging as the server does, for a while: it is one for the whole process."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    handlers, levels = list(root.handlers), (root.level, uvicorn.level)
    configure_logging(lines, level=level)
    try:
        yield
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        uvicorn.setLevel(levels[1])
