"""What the admin API is asked about limits, and what it answers: the shapes of both."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import WithJsonSchema

from extauth.admin.models import Asked
from extauth.admin.records import Shown
from extauth.admin.values import DEFAULT_PAGE, Count, Moment
from extauth.model import Code, Outcome, Per
from extauth.reporting.explain import LONGEST_URL
from extauth.reporting.standing import Origin

Day = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]


class ExplainBody(Asked):
    """A request to explain. Without a `key_id` it comes without a key."""

    url: Annotated[
        str,
        Field(
            description="Where to, such as `https://api.example.com/v1/orders`.",
            json_schema_extra={"maxLength": LONGEST_URL},
        ),
    ]
    method: Annotated[str, Field(description="The method, to the letter.")] = "GET"
    key_id: Annotated[str, Field(description="The key's id, never its text.")] = ""
    client_ip: Annotated[
        str,
        Field(description="Where it comes from; without it, limits per address count as untouched."),
    ] = ""


class ShadowReportQuery(Asked):
    """Since when, and how many callers."""

    since: Annotated[
        Moment | None,
        Field(description="From the day of that time on; else from six days ago. 30 days are kept."),
    ] = None
    limit: Annotated[Count, Field(description="How many callers at most.")] = DEFAULT_PAGE


class LimitStanding(Shown):
    """How one limit stands. What can't be told without a request's address or route is null."""

    name: str
    origin: Origin = Field(description="Where it is set.")
    per: Per = Field(description="Whose requests it counts together.")
    policy: str = Field(description="What RateLimit-Policy says of it.")
    algorithm: str
    quota: bool
    shadow: bool = Field(description="Whether it never refuses.")
    cost: int = Field(description="How much a request takes; 0 of a cool-down.")
    capacity: int
    rate: int = Field(description="How many requests come back, or begin anew, each period.")
    period_seconds: float | None = Field(
        description="That period, to the microsecond; null: a month of the calendar."
    )
    remaining: int | None = Field(description="How much is left now.")
    reset_seconds: int | None = Field(description="When nothing is spent any more, from now.")
    retry_seconds: int | None = Field(description="When a request that has no room now will have it.")
    would_refuse: bool | None = Field(description="Whether a request has no room now, in shadow or not.")


class InFlightStanding(Shown):
    """How a limit on requests in flight stands."""

    name: str
    origin: Origin = Field(description="Where it is set.")
    per: Per = Field(description="Whose requests it counts together.")
    max: int = Field(description="How many may be in flight at once.")
    in_flight: int | None = Field(
        description="How many are now; null without the request's address or route that tells whose."
    )
    queue: int = Field(description="How many more may wait for a slot.")
    wait_ms: int = Field(description="How long each of them waits at most; 25 where no queue is set.")
    expires_seconds: int = Field(description="When one counts as ended whose end nobody reports.")


class KeyLimitsRecord(Shown):
    """How the limits of a key stand, for requests that cost 1 and whose route sets no limits."""

    key_id: str
    limits: list[LimitStanding]
    in_flight: list[InFlightStanding]
    problem: str = Field(description="Why nobody can say what its limits are; empty: they are known.")


class LimitsReset(Shown):
    """Which limits of a key begin anew."""

    key_id: str
    reset: list[str] = Field(description="Names of those that count this key alone, routes' among them.")


class ExplainedRequest(Shown):
    """The request, as it would arrive."""

    method: str
    host: str
    path: str
    client_ip: str


class ExplainedRoute(Shown):
    """The route that applies."""

    name: str
    access: str = Field(description="`required`, `optional`, `none`, `denied` or `ambiguous`.")
    template: str
    methods: list[str] = Field(description="Empty: any.")
    hosts: list[str] = Field(description="Empty: any.")
    why: str


class ExplainedKey(Shown):
    """The key of the request."""

    key_id: str
    hint: str
    user_id: str
    tier: str
    state: str = Field(description="`active`, `in grace`, `rotated`, `expired`, `disabled` or `revoked`.")
    problem: str = Field(description="Why nobody can say what its limits are; empty: they are known.")


class ExplainedScopes(Shown):
    """What the route asks for, and what the key has of it."""

    needed: list[str]
    held: list[str]
    missing: list[str]


class ExplainedDecision(Shown):
    """What would come of the request."""

    status: int = Field(description="What the client would get; 200 stands for what the upstream answers.")
    code: Code
    outcome: Outcome
    reason: str = Field(description="For operators: why a key is refused.")
    retry_after: int
    violated: list[str] = Field(description="Limits that would refuse.")
    shadowed: list[str] = Field(description="Limits in shadow that would have refused.")


class HeaderLine(Shown):
    """One header of an answer."""

    name: str
    value: str


class ExplainedAnswer(Shown):
    """What a proxy would get."""

    status: int
    headers: list[HeaderLine]


class ExplanationRecord(Shown):
    """What would come of a request, and why."""

    request: ExplainedRequest
    route: ExplainedRoute
    key: ExplainedKey | None = Field(description="Null: the request comes without a key.")
    scopes: ExplainedScopes
    limits: list[LimitStanding] = Field(description="Before the request. Empty where no limit is looked at.")
    in_flight: list[InFlightStanding] = Field(
        description="Before the request. The decision takes it that there is a slot."
    )
    decision: ExplainedDecision
    answers: dict[str, ExplainedAnswer] = Field(description="By dialect: `envoy`, `nginx` and `forward`.")


class ShadowedDay(Shown):
    """What a limit would have refused on a day."""

    day: Day
    requests: int


class ShadowedLimitRecord(Shown):
    """What a limit in shadow would have refused."""

    name: str
    requests: int
    keys: int = Field(description="Of how many keys at least.")
    days: list[ShadowedDay]


class ShadowedCallerRecord(Shown):
    """Who would have been refused. `other` stands for all that a day could not tell apart."""

    limit: str
    key_id: str = Field(description="`anonymous` for requests without a key.")
    route: str
    requests: int
    last_day: Day


class ShadowReportRecord(Shown):
    """Whom limits in shadow would have refused, the busiest first. Days are in UTC."""

    since: Day
    until: Day
    limits: list[ShadowedLimitRecord]
    callers: list[ShadowedCallerRecord]
    left_out: int = Field(description="How many callers there are besides.")
