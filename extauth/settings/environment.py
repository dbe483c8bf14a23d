"""Turns `EXTAUTH_…` variables into a tree of values that is laid over the file's, field by field.

It is handed the variables and never reads the process's own. Messages never repeat what a variable holds.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from extauth.settings.document import Document, Path, read_document
from extauth.settings.shape import Kind, kind_at, may_be_nothing, names_at

PREFIX = "EXTAUTH_"
CONFIG_VARIABLE = "EXTAUTH_CONFIG"
# Kubernetes gives every container the addresses of the Services near it; one called `extauth` adds these.
_KUBERNETES = re.compile(
    r"EXTAUTH_(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?)"
)


@dataclass
class Overlay:
    """The values to lay over the file, which variable set each, and what was wrong with variables."""

    values: dict[Path, object] = field(default_factory=dict)
    sources: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_environment(environ: Mapping[str, str]) -> Overlay:
    """Read all variables that belong to extauth: those of whole sections first, so that single fields win."""
    overlay = Overlay()
    ours = [name for name in environ if name.upper().startswith(PREFIX) and not _is_foreign(name)]
    for name in sorted(ours, key=lambda name: (name.count("__"), name)):
        path: Path = tuple(name[len(PREFIX) :].lower().split("__"))
        kind = kind_at(path)
        if kind is None:
            overlay.problems.append(f"environment {_one_line(name)}: {_unknown(path)}")
            continue
        if path in overlay.sources and overlay.sources[path].upper() == name.upper():
            overlay.problems.append(f"environment {_one_line(name)}: set already by {overlay.sources[path]}")
            continue
        value = _read(environ[name], path, kind)
        if isinstance(value, Document):
            overlay.problems += [
                f"environment {_one_line(name)}: {mistake.message}" for mistake in value.mistakes
            ]
            continue
        overlay.sources[path] = name
        _set(overlay, path, value)
    return overlay


def _one_line(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _is_foreign(name: str) -> bool:
    return name.upper() == CONFIG_VARIABLE or _KUBERNETES.fullmatch(name.upper()) is not None


def _read(text: str, path: Path, kind: Kind) -> object:
    """Give the value that a text means at a path, or the document itself where it has mistakes."""
    stripped = text.strip()
    # An IPv6 address begins with a bracket too: only places for lists and mappings are read as YAML.
    if kind is not Kind.VALUE and stripped.startswith(("[", "{")):
        document = read_document(stripped)
        return document if document.mistakes else document.value
    if kind is Kind.LIST:
        return [item.strip() for item in stripped.split(",")] if stripped else []
    return None if not stripped and may_be_nothing(path) else stripped


def _set(overlay: Overlay, path: Path, value: object) -> None:
    """File a value under its path; a section given whole is taken apart, to win field by field."""
    if kind_at(path) is Kind.SECTION and isinstance(value, Mapping):
        for name, item in value.items():
            overlay.sources[*path, name] = overlay.sources[path]
            _set(overlay, (*path, name), item)
        del overlay.sources[path]
        return
    overlay.values[path] = value


def _unknown(path: Path) -> str:
    """Say what is wrong with a path that is not known, and what was probably meant."""
    length = next(length for length in reversed(range(len(path))) if kind_at(path[:length]) is not None)
    parent = path[:length]
    if kind_at(parent) is Kind.LIST:
        return f"{variable(parent)} is a list and can only be set whole"
    # All that is not known is compared at once, because what is wrong is often where its steps are divided.
    known = {_joined(place[length:]): place for place in _places_below(parent)}
    close = difflib.get_close_matches(_joined(path[length:]), known, n=1)
    return f"no such setting; did you mean {variable(known[close[0]])}?" if close else "no such setting"


def _places_below(path: Path) -> Iterator[Path]:
    for name in names_at(path):
        yield (*path, name)
        yield from _places_below((*path, name))


def variable(path: Path) -> str:
    """Name the variable that sets a path."""
    return PREFIX + _joined(path).upper()


def _joined(path: Path) -> str:
    return "__".join(map(str, path))
