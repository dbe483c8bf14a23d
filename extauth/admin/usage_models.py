"""What the admin API is asked about usage, and what it answers: the shapes of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, create_model
from pydantic.json_schema import WithJsonSchema

from extauth.admin.models import Asked
from extauth.admin.records import Shown, Time
from extauth.admin.values import KeyId, Moment, Word, to_count
from extauth.stores.usage import UPSTREAM_CLASSES
from extauth.usage.question import DEFAULT_GROUPS, MOST_GROUPS, STEP_NAMES, By

StepName = Literal["1m", "1h", "1d"]
assert get_args(StepName) == STEP_NAMES


def _one_of(words: Sequence[str]) -> Callable[[object], object]:
    def check(value: object) -> object:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return check


_STEP = {"type": "string", "enum": list(STEP_NAMES)}
_BY = {"type": "string", "enum": [by.value for by in By], "default": By.NONE.value}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST_GROUPS, "default": DEFAULT_GROUPS}


class _UsageSelection(Asked):
    """Whose usage is told, and how."""

    step: Annotated[
        str | None,
        BeforeValidator(_one_of(STEP_NAMES)),
        WithJsonSchema(_STEP),
        Field(description="How finely; else minutes up to three hours, hours up to 14 days, days beyond."),
    ] = None
    by: Annotated[
        str,
        BeforeValidator(_one_of([by.value for by in By])),
        WithJsonSchema(_BY),
        Field(description="What series are told apart by."),
    ] = By.NONE.value
    key_id: Annotated[KeyId | None, Field(description="Requests of this key; not beside `user_id`.")] = None
    user_id: Annotated[Word | None, Field(description="Requests of this user.")] = None
    route: Annotated[Word | None, Field(description="Requests for this route, by its name.")] = None
    tier: Annotated[Word | None, Field(description="Requests under this tier.")] = None
    limit: Annotated[
        int,
        BeforeValidator(lambda value: to_count(value, MOST_GROUPS)),
        WithJsonSchema(_LIMIT),
        Field(description="How many series at most."),
    ] = DEFAULT_GROUPS


# Python has a word of its own for what the query calls `from`.
_TIME: dict[str, Any] = {
    "from": (Annotated[Moment | None, Field(description="Since when; else a day before `to`.")], None),
    "to": (Annotated[Moment | None, Field(description="Before when; else now.")], None),
}
UsageQuery: type[_UsageSelection] = create_model(
    "UsageQuery", __base__=_UsageSelection, __doc__=_UsageSelection.__doc__, **_TIME
)


class LatencyRecord(Shown):
    """How long checks took, in microseconds; percentiles are estimates, null where nothing was counted."""

    sum: int
    p50: int | None
    p99: int | None


_UPSTREAM: dict[str, Any] = {
    **dict.fromkeys(UPSTREAM_CLASSES, (Annotated[int, Field(description="With such a status.")], ...)),
    "duration_us_sum": (Annotated[int, Field(description="How long they took, in microseconds.")], ...),
    "reported": (Annotated[int, Field(description="Of how many requests anything is known.")], ...),
}
UpstreamRecord: type[Shown] = create_model(
    "UpstreamRecord",
    __base__=Shown,
    __doc__="What became of requests upstream, as far as the signals of their ends say so.",
    **_UPSTREAM,
)


class CountsRecord(Shown):
    """How many requests there were, by what became of them, and how long their checks took."""

    allowed: int
    rate_limited: int = Field(description="Refused by a rate, a quota, a cool-down or a ban: 429.")
    throttled: int = Field(description="Refused because too many were in flight: 429.")
    refused: int = Field(description="Refused otherwise: 400, 401, 403.")
    failed: int = Field(description="Answered 503 or 500.")
    latency_us: LatencyRecord
    upstream: UpstreamRecord  # type: ignore[valid-type]  # a model that is made, because of the names of its fields


class UsagePoint(CountsRecord):
    """What was counted in one step."""

    at: Time = Field(description="When the step begins.")


class UsageSeries(Shown):
    """What was counted of one group."""

    group: str = Field(
        description="Key id, user id, route or tier: empty where there was none, `other` for all that were "
        "not told apart."
    )
    total: CountsRecord
    points: list[UsagePoint] = Field(description="One for each step, also where nothing was counted.")


_USAGE: dict[str, Any] = {
    "from": (Time, ...),
    "to": (Annotated[Time, Field(description="The end of the last step.")], ...),
    "step": (StepName, ...),
    "by": (By, ...),
    "series": (list[UsageSeries], ...),
}
UsageRecord: type[Shown] = create_model("UsageRecord", __base__=Shown, __doc__="How much was used.", **_USAGE)


class RefusalRecord(Shown):
    """A request that was refused. What looks like a key in it is masked."""

    at: Time
    code: str = Field(description="As in problem bodies and logs.")
    method: str
    path: str
    route: str
    violated: list[str] = Field(description="The limits that refused it.")
    retry_after: int = Field(description="What the client was told to wait, in seconds.")
    client_ip: str
    request_id: str
    reason: str = Field(description="Why, in words for operators.")


class RefusalList(Shown):
    """The latest refusals of a key, the newest first."""

    refusals: list[RefusalRecord]
