"""Reads as much of a request as fits its model, and notes all the rest.

What doesn't fit is cut out, and what is left is read without it: so the key service can judge those fields,
and everything that is wrong is told at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from extauth.admin.models import Asked

Input = TypeVar("Input", bound=Asked)
# Where something stands in a request: names of members and numbers of items, from the outside in.
Place = tuple[str | int, ...]

# pydantic's own words speak of Python.
_WORDS = {
    "missing": "is needed",
    "extra_forbidden": "is not known here",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
}


@dataclass(frozen=True, slots=True)
class Fitting(Generic[Input]):
    """What could be read, and what is wrong, by place.

    The `unread` are fields of which nothing fits, so that `asked` has a stand-in for each; the empty name
    stands for all of them.
    """

    asked: Input
    mistakes: tuple[tuple[Place, str], ...] = ()
    unread: frozenset[str] = frozenset()


def fitting(given: object, model: type[Input]) -> Fitting[Input]:
    """Read what was sent, as far as it fits."""
    asked, mistakes = _read(given, model)
    places = {place for place, _ in mistakes}
    unread = [name for name in model.model_fields if (name,) in places] + [""] * (() in places)
    # In what is read of it, one that doesn't fit is not given.
    if sum(getattr(asked, name) not in {None, False} for name in model.exclusive) > 1:
        mistakes.append(((), f"give one of {', '.join(model.exclusive)}"))
    return Fitting(asked, tuple(mistakes), frozenset(unread))


def _read(given: object, model: type[Input]) -> tuple[Input, list[tuple[Place, str]]]:
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        mistakes = _mistakes_of(error)
    rest: dict[str, Any] = {**model.stand_ins}
    # What is missing still is.
    with contextlib.suppress(ValidationError):
        model.model_validate(_without(given, {place for place, _ in mistakes}), context=rest)
    return model.model_construct(**rest), mistakes


def _without(value: Any, places: Collection[Place], at: Place = ()) -> Any:
    """Return a copy of JSON without what stands at these places."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if (*at, name) not in places}
        return {name: _without(item, places, (*at, name)) for name, item in kept.items()}
    if isinstance(value, list):
        numbered = [(number, item) for number, item in enumerate(value) if (*at, number) not in places]
        return [_without(item, places, (*at, number)) for number, item in numbered]
    return value


def _mistakes_of(error: ValidationError) -> list[tuple[Place, str]]:
    return [
        (mistake["loc"], _WORDS.get(mistake["type"], mistake["msg"].removeprefix("Value error, ")))
        for mistake in error.errors(include_url=False, include_context=False, include_input=False)
    ]
