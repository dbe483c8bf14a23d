"""What the demo writes to the terminal, and what it must not."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def say(console: Console, line: str | Text, style: str = "") -> None:
    """Print one line as it is: brackets in a path are no markup, and a line to paste must not be wrapped."""
    console.print(Text(line) if isinstance(line, str) else line, style=style, soft_wrap=True)


def printable(text: str) -> str:
    """Replace what isn't printable: logs hold paths that clients chose; terminals obey escape sequences."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "·" for char in text)
