"""What all sections have in common: frozen, closed to unknown fields, silent about their input.

It knows no section. Cross-field mistakes say where they belong with `mistake_at`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

MISTAKE = "extauth_mistake"
# How the schema names a kind of value that has rules of its own; docs/configuration.md explains the kinds.
KIND = "x-kind"
Path = tuple[str | int, ...]


class Section(BaseModel):
    """A group of fields that belong together."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # A default may contradict what another field was set to, so defaults are checked too.
        validate_default=True,
        # A validation error that travels into a log must not carry a pepper.
        hide_input_in_errors=True,
    )


def _refuse_bool(value: object) -> object:
    # Python counts True as 1, so `workers: yes` would silently mean one worker.
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


Whole = Annotated[int, BeforeValidator(_refuse_bool)]
Fraction = Annotated[float, BeforeValidator(_refuse_bool)]


def kind(name: str) -> Any:
    """Annotate a field's type with its kind, for the schema."""
    return Field(json_schema_extra={KIND: name})


def mistake_at(path: Path, message: str) -> PydanticCustomError:
    """Make the error of a mistake that belongs to `path` (from the root), though it was found elsewhere."""
    return mistakes_at([(path, message)])


def mistakes_at(mistakes: Sequence[tuple[Path, str]]) -> PydanticCustomError:
    """Make one error of several such mistakes."""
    message = "; ".join(message for _, message in mistakes)
    return PydanticCustomError(MISTAKE, "{message}", {"message": message, "mistakes": tuple(mistakes)})
