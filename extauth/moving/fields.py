"""Takes the fields out of one line's JSON object, noting every mistake on the way instead of stopping."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from extauth.keys.asked import ALL_READ, Misread, Mistake

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
# No record was ever changed so often; and every store can hold it.
_LARGEST = 2**31 - 1
# Whoever wrote a key where a field's name belongs must not find it on the screen.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time, such as 2027-01-31T12:00:00Z, into UTC. Raises ValueError."""
    wanted = "must be an RFC 3339 time such as 2027-01-31T12:00:00Z"
    if _TIME.fullmatch(text) is None:
        raise ValueError(wanted)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(wanted) from error


def format_time(moment: datetime) -> str:
    """Write a time as `parse_time` reads it, to the microsecond, so that nothing is lost on the way."""
    return moment.isoformat().replace("+00:00", "Z")


def shown(name: str) -> str:
    """Return a field's name as it may be shown."""
    return name if _NAME.fullmatch(name) else "(no name)"


class Fields:
    """The fields of one object, each taken once; `misread` tells what was wrong with them.

    Where something was, what is taken is a stand-in.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._left = dict(given)
        self._known: list[str] = []
        self.mistakes: list[Mistake] = []

    def text(self, name: str, default: str | None = None) -> str:
        """Take text; without a default it must be there."""
        value = self._take(name, default, "text", lambda value: isinstance(value, str))
        return "" if value is None else str(value)

    def optional_text(self, name: str) -> str | None:
        """Take text that may be null."""
        return None if self._is_null(name) else self.text(name)

    def texts(self, name: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Take a list of texts."""
        value = self._take(name, default, 'a list of texts such as ["orders:read"]', _are_texts)
        return tuple(value or ())

    def moment(self, name: str) -> datetime | None:
        """Take a time that must be there; None only where it is a mistake."""
        text = self._take(name, None, "an RFC 3339 time", lambda value: isinstance(value, str))
        if text is None:
            return None
        try:
            return parse_time(text)
        except ValueError as error:
            self.mistakes.append((name, str(error)))
            return None

    def optional_moment(self, name: str) -> datetime | None:
        """Take a time that may be null."""
        return None if self._is_null(name) else self.moment(name)

    def flag(self, name: str) -> bool:
        """Take true or false."""
        return bool(self._take(name, None, "true or false", lambda value: isinstance(value, bool)))

    def number(self, name: str) -> int:
        """Take a whole number, 1 or more; 1 where it is a mistake."""
        value = self._take(name, None, "a whole number, 1 or more", _is_count)
        return 1 if value is None else int(value)

    def mapping(self, name: str, default: Mapping[str, object] | None = None) -> dict[str, object]:
        """Take an object."""
        return dict(self._take(name, default, "an object", lambda value: isinstance(value, dict)) or {})

    def misread(self) -> Misread:
        """Return every mistake that was noted; what was not taken is unknown, which is one too."""
        misread = ALL_READ.also(*self.mistakes)
        unknown = f"unknown field; known here: {', '.join(self._known)}"
        return replace(
            misread, mistakes=(*misread.mistakes, *((shown(name), unknown) for name in self._left))
        )

    def _is_null(self, name: str) -> bool:
        if self._left.get(name) is not None:
            return False
        self._known.append(name)
        self._left.pop(name, None)
        return True

    def _take(self, name: str, default: Any, wanted: str, fits: Callable[[Any], bool]) -> Any:
        self._known.append(name)
        if name not in self._left:
            if default is None:
                self.mistakes.append((name, "is needed"))
            return default
        value = self._left.pop(name)
        if fits(value):
            return value
        self.mistakes.append((name, f"must be {wanted}"))
        return default


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST
