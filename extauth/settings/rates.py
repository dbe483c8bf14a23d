"""How operators write one limit, wherever it stands: a rate, or the quota of a calendar's period."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from extauth.model import Limit, Per
from extauth.settings import grammar
from extauth.settings.base import KIND, Section
from extauth.settings.values import (
    LONGEST_REFILL,
    MONTH,
    PERIODS,
    Rate,
    RateText,
    format_period,
    format_rate,
    name_of_period,
    to_rate,
)

MOST_RATES = 8
AlgorithmName = Literal["token_bucket", "sliding_window", "fixed_window"]
RateName = Annotated[
    str,
    AfterValidator(grammar.check_rate_name),
    WithJsonSchema({"type": "string", "pattern": f"^{grammar.RATE_NAME.pattern}$"}),
]


class Place(NamedTuple):
    """What limits are at one place of the settings: counted `per` unless they say, and how names begin."""

    per: Per
    prefix: str = ""


OF_KEYS = Place(Per.KEY)
OF_A_ROUTE = Place(Per.KEY, "route-")
OF_ALL = Place(Per.ALL)
OF_ANONYMOUS = Place(Per.IP)


class WrittenLimit(Section):
    """What all limits have in common: a rate alone, or a mapping with the rate and what else is set."""

    example: ClassVar[str]
    kind: ClassVar[str]

    rate: RateText = Field(description="How many requests in which period.")
    name: RateName | None = Field(
        default=None,
        description=(
            "What the RateLimit headers call it; default: after whom it counts and its period, such as "
            "`per-second` or `ip-per-second`, and `quota`."
        ),
    )
    per: Per | None = Field(
        default=None,
        description="Whose requests it counts together; the default depends on where it stands.",
    )
    shadow: bool = Field(
        default=False, description="It is counted and told to operators, but never refuses a request."
    )

    @property
    @abstractmethod
    def counted_by(self) -> AlgorithmName:
        """The algorithm."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str | Rate):
            return {"rate": to_rate(value)}
        if not isinstance(value, Mapping | WrittenLimit):
            wanted = f"must be a rate such as {cls.example!r}, or {{rate: {cls.example}, name: other}}"
            raise ValueError(wanted)  # noqa: TRY004 - pydantic collects ValueErrors only
        return value

    @model_validator(mode="after")
    def _its_algorithm_can_count_it(self) -> WrittenLimit:
        _check_countable(self.rate, self.counted_by)
        return self

    @model_serializer
    def _to_text(self) -> str | dict[str, Any]:
        text = format_rate(self.rate)
        others = {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if name != "rate" and getattr(self, name) != field.default
        }
        return {"rate": text, **others} if others else text

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both forms: text, and the mapping."""
        mapping = handler.resolve_ref_schema(handler(core_schema))
        mapping["properties"]["rate"]["examples"] = [cls.example]
        told = {name: mapping.pop(name) for name in ("title", "description")}
        text = {"type": "string", "examples": [cls.example]}
        return {**told, KIND: cls.kind, "anyOf": [text, mapping]}


class RateSettings(WrittenLimit):
    """One rate: `10/second burst 20`, or `{rate: 10/second, algorithm: sliding_window, per: ip}`."""

    example: ClassVar[str] = "10/second burst 20"
    kind: ClassVar[str] = "rate"

    algorithm: AlgorithmName = Field(
        default="token_bucket",
        description=(
            "`token_bucket`: refilled evenly, with bursts. `sliding_window`: the count in the period that "
            "ends now, its older part estimated. `fixed_window`: the count in each second, minute, hour, "
            "day, week or month of the calendar, UTC."
        ),
    )

    @property
    def counted_by(self) -> AlgorithmName:
        """The algorithm that was chosen."""
        return self.algorithm

    @classmethod
    def parse(cls, text: str) -> RateSettings:
        """Make one from its text form.

        Raises:
            ValueError: The text is not a rate.
        """
        return cls.model_validate(text)

    def to_limit(self, place: Place = OF_KEYS) -> Limit:
        """Turn it into the limit that it is at this place."""
        per = self.per or place.per
        return _limit(self, self.name or _default_name(self.rate, per, place), per)


class QuotaSettings(WrittenLimit):
    """How much in each period of the calendar, UTC: `100000/month`, or `{rate: 100000/month, per: user}`."""

    example: ClassVar[str] = "100000/month"
    kind: ClassVar[str] = "quota"

    @property
    def counted_by(self) -> AlgorithmName:
        """Quotas begin anew with the calendar."""
        return "fixed_window"

    def to_limit(self) -> Limit:
        """Turn it into a limit that is told as a quota."""
        return _limit(self, self.name or "quota", self.per or OF_KEYS.per)._replace(is_quota=True)


def _limit(written: WrittenLimit, name: str, per: Per) -> Limit:
    rate = written.rate
    period_us = rate.period // timedelta(microseconds=1)
    # 1000 an hour are 1 each 3.6 seconds: the bucket is the same, and smaller numbers are counted faster.
    common = math.gcd(rate.amount, period_us) if written.counted_by == "token_bucket" else 1
    return Limit(
        name,
        capacity=rate.capacity,
        rate=rate.amount // common,
        period_us=period_us // common,
        algorithm=written.counted_by,
        per=per,
        shadow=written.shadow,
    )


def _default_name(rate: Rate, per: Per, place: Place) -> str:
    whose = "" if per is Per.KEY else f"{per}-"
    if place is OF_A_ROUTE and per is Per.ROUTE:
        # Of one route's requests, all are those of the route.
        whose = f"{Per.ALL}-"
    return f"{place.prefix}{whose}{name_of_period(rate.period)}"


def _check_countable(rate: Rate, algorithm: AlgorithmName) -> None:
    if rate.burst is not None and algorithm != "token_bucket":
        raise ValueError("'burst' belongs to the token bucket: a window holds its count and never more")
    if algorithm == "fixed_window":
        if rate.period not in PERIODS.values():
            raise ValueError(
                f"a fixed window follows the calendar: its period is {', '.join(PERIODS)}, "
                f"not {format_period(rate.period)}"
            )
    elif rate.period == MONTH:
        raise ValueError(
            f"{algorithm!r} can't count by 'month', which is the calendar's and has no fixed length: write "
            "30d, or take 'fixed_window'"
        )
    # Clients are told how long the refill takes, in fifteen digits at most (RFC 9651 section 3.3.1).
    if rate.period / LONGEST_REFILL * rate.capacity > rate.amount:
        what = "period is longer than" if rate.burst is None else "burst would take more than"
        to_refill = "; lower it" if rate.burst is None else " to refill; lower it, or raise the rate"
        raise ValueError(f"the {what} {LONGEST_REFILL.days} days{to_refill}")


def check_names_differ(limits: Iterable[Limit]) -> None:
    """Raise ValueError where two limits of one list have the same name: clients tell them apart by it."""
    name, count = Counter(limit.name for limit in limits).most_common(1)[0] if limits else ("", 0)
    if count > 1:
        raise ValueError(f"two rates are named {name!r}: name one, as in {{rate: 10/second, name: other}}")
