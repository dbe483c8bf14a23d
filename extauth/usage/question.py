"""What can be asked about usage: whose, of which time, how finely."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from extauth.clock import MICROSECONDS, to_us
from extauth.errors import InvalidInputError
from extauth.stores.usage import DAY, HOUR, MINUTE, STEPS, Step

DEFAULT_SPAN = timedelta(days=1)
DEFAULT_GROUPS = 20
MOST_GROUPS = 100
# A series of 90 days in hours has no more.
MOST_POINTS = 2_200
# All series of an answer together. To add them up and tell them takes some 5 µs each, in which no check is
# answered. So many are 20 series of two years of days.
MOST_POINTS_TOGETHER = 15_000
# The longest spans that are told in minutes, and in hours, where nobody says how finely.
_IN_MINUTES = timedelta(hours=3)
_IN_HOURS = timedelta(days=14)
STEP_NAMES = tuple(step.name for step in STEPS)


class By(enum.StrEnum):
    """What series are told apart by."""

    NONE = "none"
    KEY = "key"
    USER = "user"
    ROUTE = "route"
    TIER = "tier"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """Which usage is asked for. Without `until` up to now, without `since` of the day before that.

    `step` is one of `STEP_NAMES`; without one it follows from the span. At most `limit` series are told.
    """

    since: datetime | None = None
    until: datetime | None = None
    step: str | None = None
    by: By = By.NONE
    key_id: str | None = None
    user_id: str | None = None
    tier: str | None = None
    route: str | None = None
    limit: int = DEFAULT_GROUPS

    @property
    def most_series(self) -> int:
        """How many series an answer has at most."""
        is_of_one_key = self.by is By.KEY and self.key_id is not None
        is_of_one_user = self.by is By.USER and self.user_id is not None
        is_one = self.by is By.NONE or is_of_one_key or is_of_one_user
        return 1 if is_one else min(self.limit, MOST_GROUPS)

    def check(self) -> None:
        """Raise InvalidInputError where it can't be answered."""
        if self.key_id is not None and self.user_id is not None:
            mistake = "can't be given together with key_id: a key belongs to one user"
            raise InvalidInputError.of([("user_id", mistake)])
        if self.key_id is not None and self.by is By.USER:
            raise InvalidInputError.of([("by", "must not be user where one key is asked for")])


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is told: from one step to before another, in whole seconds since 1970 UTC."""

    step: Step
    since: int
    until: int

    @property
    def points(self) -> int:
        """How many steps there are."""
        return (self.until - self.since) // self.step.seconds


def span_of(question: UsageQuestion, now: datetime) -> Span:
    """Return which steps a question is about: all that its time touches. Raises InvalidInputError."""
    # What is counted at this moment is told too.
    until = question.until or now + timedelta(microseconds=1)
    since = question.since or until - DEFAULT_SPAN
    if since >= until:
        raise InvalidInputError.of([("to", "must be later than from")])
    step = _step_of(question.step, until - since)
    first, end = _seconds(since), -(-to_us(until) // MICROSECONDS)
    span = Span(step, first // step.seconds * step.seconds, -(-end // step.seconds) * step.seconds)
    if span.points > MOST_POINTS:
        mistake = (
            f"is too fine: the time asked for has {span.points} steps of {step.name}, more than "
            f"{MOST_POINTS}; ask for a longer step or a shorter time"
        )
        raise InvalidInputError.of([("step", mistake)])
    if question.most_series * span.points > MOST_POINTS_TOGETHER:
        mistake = (
            f"must be at most {MOST_POINTS_TOGETHER // span.points}: the time asked for has {span.points} "
            f"steps of {step.name}, and all series together may have {MOST_POINTS_TOGETHER} points; ask for "
            "fewer series, a longer step or a shorter time"
        )
        raise InvalidInputError.of([("limit", mistake)])
    return span


def _step_of(name: str | None, span: timedelta) -> Step:
    if name is None:
        return MINUTE if span <= _IN_MINUTES else HOUR if span <= _IN_HOURS else DAY
    for step in STEPS:
        if step.name == name:
            return step
    raise InvalidInputError.of([("step", f"must be one of {', '.join(STEP_NAMES)}")])


def _seconds(moment: datetime) -> int:
    return to_us(moment) // MICROSECONDS
