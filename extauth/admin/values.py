"""The small values in bodies and queries of the admin API: times, durations, numbers, with their schemas."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic.json_schema import WithJsonSchema

from extauth.settings.values import to_duration

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = re.compile(r"[0-9]{1,4}")
KEY_ID = re.compile(r"[0-9A-Za-z]{1,64}")
LARGEST_PAGE = 1_000
DEFAULT_PAGE = 100


def to_moment(value: object) -> datetime:
    """Read an RFC 3339 time as UTC; what is below a second is cut off.

    Raises:
        ValueError: It is none, or the calendar doesn't have it.
    """
    if not isinstance(value, str) or _MOMENT.fullmatch(value.upper()) is None:
        raise ValueError("must be a time such as 2027-01-31T00:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError) as error:
        raise ValueError("is no time of the calendar") from error


def _to_grace(value: object) -> timedelta:
    # No grace at all is a fine one: the old key ends at once.
    return timedelta(0) if value == "0s" else to_duration(value)


def _to_flag(value: object) -> bool:
    if value not in {"true", "false"}:
        raise ValueError("must be true or false")
    return value == "true"


def to_count(value: object, most: int = LARGEST_PAGE) -> int:
    """Read a number from 1 on. Raises ValueError."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or not 1 <= int(value) <= most:
        raise ValueError(f"must be a number from 1 to {most}")
    return int(value)


_DURATION = {
    "type": "string",
    "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
    "examples": ["24h", "0s"],
}
_COUNT = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE}
Moment = Annotated[
    datetime, BeforeValidator(to_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
Grace = Annotated[timedelta, BeforeValidator(_to_grace), WithJsonSchema(_DURATION)]
Flag = Annotated[bool, BeforeValidator(_to_flag), WithJsonSchema({"type": "boolean"})]
Count = Annotated[int, BeforeValidator(to_count), WithJsonSchema(_COUNT)]
Word = Annotated[str, Field(max_length=128)]
KeyId = Annotated[str, Field(pattern=f"^{KEY_ID.pattern}$")]
