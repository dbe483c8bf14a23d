"""The sections that say who may do what and how often. They know no matching and no counting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from extauth.limits.plan import PLAIN_CHARGE, AnyLimit, Charge
from extauth.model import Limit, Per
from extauth.settings import grammar
from extauth.settings.base import Section, Whole, kind
from extauth.settings.concurrency import ConcurrencySettings, check_timeout
from extauth.settings.cool_down import CoolDownSettings
from extauth.settings.rates import MOST_RATES, OF_A_ROUTE, QuotaSettings, RateSettings, check_names_differ
from extauth.settings.values import LARGEST_COUNT, Duration

Scope = Annotated[str, AfterValidator(grammar.check_scope), kind("scope")]
Method = Annotated[str, AfterValidator(grammar.check_method), kind("method")]
Host = Annotated[str, AfterValidator(grammar.check_host), kind("host")]
_LONGEST_ROUTE_NAME = 64
_OWN_LIMITS = (
    'own limits look like {"rates": ["10/second burst 20", "1000/hour"], "quota": "100000/month", '
    '"concurrency": {"max": 4}}'
)


class RouteSettings(Section):
    """One rule for paths. The first route whose path, method and host fit decides."""

    path: Annotated[str, AfterValidator(grammar.check_template), kind("template")] = Field(
        description="Template: `{name}` or `*` stands for one segment, `**` at the end for all below.",
        examples=["/v1/orders/{id}", "/v1/**"],
    )
    methods: tuple[Method, ...] = Field(
        default=(), description="Methods it applies to; none listed: all of `proxy.methods`."
    )
    hosts: tuple[Host, ...] = Field(
        default=(),
        description="Hosts it applies to, exact or `*.example.com`; none listed: all.",
    )
    scopes: tuple[Scope, ...] = Field(
        default=(),
        max_length=16,
        description="Scopes that a key must hold, all of them; at most 16. They need `auth: required`.",
    )
    auth: Literal["required", "optional", "none"] = Field(
        default="required",
        description=(
            "`required`: a valid key is needed. `optional`: a request without a key passes, one with a key "
            "must have a valid one. `none`: keys are not looked at."
        ),
    )
    name: (
        Annotated[str, Field(max_length=_LONGEST_ROUTE_NAME), AfterValidator(grammar.check_printable)] | None
    ) = Field(
        default=None,
        description=(
            "What logs and metrics call it, and what its limits are counted under; without a name, its path."
        ),
    )
    cost: Whole = Field(
        default=1,
        ge=0,
        le=LARGEST_COUNT,
        description=(
            "How much one request takes of each limit, the tier's included; `0`: nothing. More than the "
            "smallest of its limits holds could never pass and is a mistake."
        ),
    )
    limits: tuple[RateSettings, ...] = Field(
        default=(),
        max_length=MOST_RATES,
        description=(
            "Rates of this route's requests, beside the tier's. They count each key for itself unless they "
            "say; with `auth: none` they must say `ip`, `route` or `all`. At most 8. Routes that have some, "
            "or a `concurrency`, must not be called the same: two with one path, for different methods or "
            "hosts, need names."
        ),
    )
    concurrency: ConcurrencySettings | None = Field(
        default=None,
        description=(
            "How many of this route's requests may be in flight at once, beside the tier's: of each key "
            "unless it says. With `auth: none` it must say `ip` or `route`."
        ),
    )
    timeout: Annotated[Duration, AfterValidator(check_timeout)] | None = Field(
        default=None,
        description=(
            "How long its requests may take: when one counts as ended whose end no proxy reports, for "
            "the tier's `concurrency` too. Without one each `ttl` says it. At most 1d."
        ),
    )
    shadow: bool = Field(
        default=False,
        description=(
            "No limit refuses requests of this route, the tier's neither: they are counted, and what would "
            "have been refused is told. Requests in flight aren't counted."
        ),
    )

    @field_validator("auth")
    @classmethod
    def _scopes_need_a_key(cls, auth: str, info: ValidationInfo) -> str:
        if auth != "required" and info.data.get("scopes"):
            raise ValueError(
                f"{auth!r} lets requests without a key pass, "
                "so the scopes of this route would protect nothing"
            )
        return auth

    @field_validator("limits")
    @classmethod
    def _names_differ(cls, limits: tuple[RateSettings, ...]) -> tuple[RateSettings, ...]:
        check_names_differ([rate.to_limit(OF_A_ROUTE) for rate in limits])
        return limits

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.path

    def to_limits(self) -> tuple[Limit, ...]:
        """Return the limits of its own."""
        return tuple(rate.to_limit(OF_A_ROUTE) for rate in self.limits)

    def to_charge(self, *, told_apart: bool = False) -> Charge:
        """Return what its requests take, the plain charge if it sets nothing.

        `told_apart` says that some limit counts each route for itself.
        """
        sets = self.limits or self.concurrency or self.timeout or self.shadow
        if self.cost == 1 and not (sets or told_apart):
            return PLAIN_CHARGE
        in_flight: tuple[AnyLimit, ...] = ()
        if self.concurrency is not None:
            in_flight = (self.concurrency.to_concurrency()._replace(name="route-concurrency"),)
        return Charge(
            route=self.label,
            cost=self.cost,
            limits=(*self.to_limits(), *in_flight),
            shadow=self.shadow,
            lease_us=(self.timeout or timedelta()) // timedelta(microseconds=1),
        )


class TierSettings(Section):
    """What the keys of one tier may use.

    `NAME` is the tier's: lower-case letters, digits, `_` and `-`, beginning with a letter.
    """

    rates: tuple[RateSettings, ...] = Field(
        default=(),
        max_length=MOST_RATES,
        description=(
            "Rates that all must have room, taken all or nothing. They count each key for itself unless they "
            "say. None listed: unlimited. At most 8."
        ),
    )
    quota: QuotaSettings | None = Field(
        default=None,
        description=(
            "How much in each period of the calendar, beside the rates: `100000/month`. Also second, minute, "
            "hour, day and week; all in UTC, a week begins on Monday."
        ),
    )
    concurrency: ConcurrencySettings | None = Field(
        default=None,
        description=(
            "How many requests may be in flight at once: of each key unless it says. The proxy has to report "
            "when they end. Without a `concurrency` as many as come."
        ),
    )
    cool_down: CoolDownSettings | None = Field(
        default=None,
        description=(
            "What becomes of a key of this tier that goes on past its refusals; nothing where it is not set. "
            "`{}` has the defaults. Keys with limits of their own have it too, a tier in shadow has none."
        ),
    )
    shadow: bool = Field(
        default=False,
        description=(
            "None of its limits refuses: they are counted, and what they would have refused is told. "
            "Requests in flight aren't counted."
        ),
    )
    scopes: tuple[Scope, ...] = Field(
        default=(),
        description="Scopes that keys of this tier may hold, wildcards for families; none listed: all.",
    )

    @field_validator("rates")
    @classmethod
    def _names_differ(cls, rates: tuple[RateSettings, ...]) -> tuple[RateSettings, ...]:
        check_names_differ([rate.to_limit() for rate in rates])
        return rates

    @field_validator("quota")
    @classmethod
    def _quota_has_its_own_name(
        cls, quota: QuotaSettings | None, info: ValidationInfo
    ) -> QuotaSettings | None:
        if quota is not None:
            rates: tuple[RateSettings, ...] = info.data.get("rates", ())
            check_names_differ([*(rate.to_limit() for rate in rates), quota.to_limit()])
        return quota

    @field_validator("cool_down")
    @classmethod
    def _cool_down_has_its_own_name(
        cls, cool_down: CoolDownSettings | None, info: ValidationInfo
    ) -> CoolDownSettings | None:
        if cool_down is not None:
            limits = [rate.to_limit() for rate in info.data.get("rates", ())]
            limits += [quota.to_limit()] if (quota := info.data.get("quota")) else []
            check_names_differ([*limits, cool_down.to_limit(Per.KEY)])
        return cool_down

    def to_limits(self) -> tuple[Limit, ...]:
        """Return its limits: the rates, the quota, then the cool-down."""
        limits = [rate.to_limit() for rate in self.rates]
        if self.quota is not None:
            limits.append(self.quota.to_limit())
        if self.shadow:
            # There are no refusals to go on past.
            return tuple(limit._replace(shadow=True) for limit in limits)
        if self.cool_down is not None:
            limits.append(self.cool_down.to_limit(Per.KEY))
        return tuple(limits)

    def to_all_limits(self) -> tuple[AnyLimit, ...]:
        """Return those, and how many requests may be in flight; in shadow as many as come."""
        if self.concurrency is None or self.shadow:
            return self.to_limits()
        return (*self.to_limits(), self.concurrency.to_concurrency())


def parse_own_limits(limits: Mapping[str, object]) -> tuple[AnyLimit, ...]:
    """Read the limits that a key has instead of its tier's.

    Such as `{"rates": ["10/second"], "quota": "1000/day", "concurrency": {"max": 4}}`; one of them is enough.

    Raises:
        ValueError: That is no set of limits; the message says what is wrong.
    """
    if not limits or not limits.keys() <= {"rates", "quota", "concurrency"}:
        raise ValueError(_OWN_LIMITS)
    if not isinstance(limits.get("rates", ()), list | tuple) or None in limits.values():
        raise ValueError(_OWN_LIMITS)
    try:
        own = TierSettings.model_validate(dict(limits)).to_all_limits()
    except ValidationError as error:
        messages = (mistake["msg"].removeprefix("Value error, ") for mistake in error.errors())
        raise ValueError("; ".join(messages)) from None
    for limit in own:
        # What several keys share is their tier's to say, since each of them would say it differently.
        if limit.per is not Per.KEY:
            raise ValueError(f"own limits count the key alone, so {limit.name!r} can't be per {limit.per}")
    return own
