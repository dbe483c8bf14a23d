"""What may stand at a path of the settings: a section, a list, a mapping or one value.

The environment needs this to know what a text means, and messages need it to suggest names.
"""

from __future__ import annotations

import enum
import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import SecretStr

from extauth.settings.base import Path, Section
from extauth.settings.model import Settings


class Kind(enum.Enum):
    """What the environment's text for a path is turned into."""

    SECTION = "section"
    MAPPING = "mapping"
    LIST = "list"
    VALUE = "value"


def kind_at(path: Path) -> Kind | None:
    """Say what stands at a path, or None where the model has no such place."""
    annotation = _annotation_at(path)
    if annotation is None:
        return None
    if _is_section(annotation):
        return Kind.SECTION
    return {tuple: Kind.LIST, dict: Kind.MAPPING}.get(get_origin(annotation), Kind.VALUE)


def may_be_nothing(path: Path) -> bool:
    """Say whether the value at a path may be null."""
    annotation: Any = Settings
    for step in path:
        annotation = _raw_child(_bare(annotation), step)
    return _is_optional(annotation)


def is_secret(path: Path) -> bool:
    """Say whether a path is inside a secret, so that nothing found there may be repeated."""
    for length in range(1, len(path) + 1):
        annotation = _annotation_at(path[:length])
        if annotation is None:
            return False
        if SecretStr in (annotation, *map(_bare, get_args(annotation))):
            return True
    return False


def names_at(path: Path) -> tuple[str, ...]:
    """List the names that an operator may write below a path; empty where it is no section."""
    annotation = _annotation_at(path)
    return tuple(annotation.model_fields) if annotation is not None and _is_section(annotation) else ()


def _annotation_at(path: Path) -> Any:
    annotation: Any = Settings
    for step in path:
        annotation = _bare(_raw_child(annotation, step))
    return annotation


def _raw_child(annotation: Any, step: str | int) -> Any:
    if annotation is None:
        return None
    if _is_section(annotation):
        info = annotation.model_fields.get(step)
        return info.annotation if info else None
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and isinstance(step, int):
        return arguments[0]
    if get_origin(annotation) is dict and isinstance(step, str):
        return arguments[1]
    return None


def _bare(annotation: Any) -> Any:
    """Take `Annotated` and `| None` off."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if _is_optional(annotation):
        return _bare(next(part for part in get_args(annotation) if part is not types.NoneType))
    return annotation


def _is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in {Union, types.UnionType} and types.NoneType in get_args(annotation)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
