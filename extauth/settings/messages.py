"""Turns what pydantic says about the settings into sentences for operators, without repeating a secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from extauth.settings.base import MISTAKE, Path
from extauth.settings.shape import Kind, is_secret, kind_at, names_at

_WANTED = {
    "bool": "true or false",
    "float": "a number",
    "finite": "a number",
    "int": "a whole number",
    "model": "a section of fields",
    "dict": "a mapping of names",
    "path": "the path of a file",
    "string": "text",
    "tuple": "a list",
}
_LONGEST_QUOTE = 60
# YAML reads `{peppers:secret}`, where a space is missing, as one long name. No field's name has a colon, and
# none is as long as the shortest pepper.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")
_NO_NAME = "(no name)"


def mistakes_in(error: ErrorDetails) -> list[tuple[Path, str]]:
    """Tell which fields an error belongs to, and say in one line for each what is wrong."""
    if error["type"] == MISTAKE:
        return list(error["ctx"]["mistakes"])
    path = tuple(error["loc"])
    # This is how pydantic marks a mistake in the name, not the value, of a mapping's entry.
    path = path[:-1] if path[-1:] == ("[key]",) else path
    return [(path, _sentence(error, path))]


def _sentence(error: ErrorDetails, path: Path) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "unknown field" + _did_you_mean(str(path[-1]), names_at(path[:-1]))
        case "missing":
            return "is needed and has no default"
        case "value_error":
            return str(context["error"])
        case _:
            return _wrong_value(error, hidden=is_secret(path) or kind_at(path) is not Kind.VALUE)


def _wrong_value(error: ErrorDetails, *, hidden: bool) -> str:
    kind = error["type"]
    given = "" if hidden and isinstance(error["input"], str) else _given(error["input"], hidden=hidden)
    if bound := _BOUNDS.get(kind):
        # A list of the wrong length is a list all the same.
        return bound(error.get("ctx", {})) + ("" if kind in {"too_long", "too_short"} else given)
    wanted = _WANTED.get(kind.partition("_")[0])
    if wanted is None:
        return error["msg"].replace("Input should be", "must be") + given
    return f"must be {wanted}{given}{_hint(kind, error['input'])}"


def dotted(path: Path) -> str:
    """Write a path as people do: `routes[2].scopes[0]`. What can't be a field's name is not repeated."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step if _NAME.fullmatch(step) else _NO_NAME}"
    return text.removeprefix(".")


def _did_you_mean(name: str, known: tuple[str, ...]) -> str:
    if ":" in name:
        return "; is a space missing after ':'?"
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _given(value: object, *, hidden: bool) -> str:
    if isinstance(value, Mapping):
        return ", not a mapping"
    if isinstance(value, list | tuple):
        return ", not a list"
    if value is None:
        return ", not empty"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return "" if hidden or len(text) > _LONGEST_QUOTE else f", not {text}"


def _hint(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return ": write it in quotes"
    if kind == "tuple_type" and isinstance(value, str):
        return " such as [a, b], not text"
    return ""


def _plain(bound: float) -> float:
    """Return a bound as it would be written: 1, not 1.0."""
    return int(bound) if bound == int(bound) else bound


_BOUNDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda context: f"must be more than {_plain(context['gt'])}",
    "greater_than_equal": lambda context: f"must be at least {_plain(context['ge'])}",
    "less_than_equal": lambda context: f"must be at most {_plain(context['le'])}",
    "literal_error": lambda context: f"must be {context['expected']}",
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
    "too_long": lambda context: f"must have at most {context['max_length']} entries",
    "too_short": lambda context: f"must have at least {context['min_length']}",
}
