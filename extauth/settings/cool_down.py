"""How long clients are refused that go on past their refusals."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from extauth.limits.cool_down import COOL_DOWN
from extauth.model import Limit, Per
from extauth.settings.base import Section, Whole
from extauth.settings.values import Duration, at_most, format_duration

# What the problem body and the RateLimit headers call it.
COOL_DOWN_NAME = "cool-down"
_MOST_VIOLATIONS = 1_000_000
_LONGEST_WINDOW = timedelta(days=1)
_LONGEST = timedelta(days=30)


def _check_window(window: timedelta) -> timedelta:
    return at_most(window, _LONGEST_WINDOW)


def _check_pause(pause: timedelta) -> timedelta:
    return at_most(pause, _LONGEST)


class CoolDownSettings(Section):
    """A client that is refused for limits too often in a short time is refused for all else too, for a while.

    Each further time it is for twice as long.
    """

    violations: Whole = Field(
        default=20,
        ge=1,
        le=_MOST_VIOLATIONS,
        description="How many refusals for limits within `window` begin a cool-down.",
    )
    window: Annotated[Duration, AfterValidator(_check_window)] = Field(
        default=timedelta(seconds=10),
        description="In how long they are counted, from the first of them on; up to 1d.",
    )
    cool_down: Annotated[Duration, AfterValidator(_check_pause)] = Field(
        default=timedelta(seconds=30),
        description="How long the first cool-down lasts, and each further one twice as long; up to 30d.",
    )
    longest: Annotated[Duration, AfterValidator(_check_pause)] = Field(
        default=timedelta(minutes=10),
        description=(
            "How long one lasts at most, up to 30d, no shorter than `cool_down`. After as long without "
            "another it begins with the shortest again."
        ),
    )

    @field_validator("longest")
    @classmethod
    def _no_shorter_than_the_first(cls, longest: timedelta, info: ValidationInfo) -> timedelta:
        first = info.data.get("cool_down")
        if first is not None and longest < first:
            raise ValueError(f"must be at least as long as 'cool_down', which is {format_duration(first)}")
        return longest

    def to_limit(self, per: Per) -> Limit:
        """Turn it into the limit that it is: it counts refusals, and takes nothing."""
        microsecond = timedelta(microseconds=1)
        return Limit(
            COOL_DOWN_NAME,
            capacity=self.violations,
            rate=self.violations,
            period_us=self.window // microsecond,
            algorithm=COOL_DOWN.name,
            per=per,
            pause_us=self.cool_down // microsecond,
            longest_us=self.longest // microsecond,
        )
