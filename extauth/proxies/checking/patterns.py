"""Regular expressions out of somebody's configuration, tried with Python's."""

from __future__ import annotations

import re

_LONGEST = 200
_NESTED = re.compile(r"[+*}?][^()]*\)+[+*{]|\|[^()]*\)+[+*{]")


def compiled(regex: str, *, ignore_case: bool = False) -> re.Pattern[str] | None:
    """Return an expression to be tried; None for one that Python can't read, or could take for ever for."""
    # The readers of Envoy take as long for all of them.
    if len(regex) > _LONGEST or _NESTED.search(regex):
        return None
    try:
        return re.compile(regex, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError):
        return None
