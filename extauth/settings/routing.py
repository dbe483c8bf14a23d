"""The sections that say who may do what and how often. They know no matching and no counting."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from extauth.model import Limit
from extauth.settings import grammar
from extauth.settings.base import Section, Whole
from extauth.settings.values import (
    LARGEST_COUNT,
    LONGEST_REFILL,
    Duration,
    Rate,
    format_rate,
    name_of_period,
    parse_rate,
    to_duration,
)

Scope = Annotated[str, AfterValidator(grammar.check_scope)]
Method = Annotated[str, AfterValidator(grammar.check_method)]
Host = Annotated[str, AfterValidator(grammar.check_host)]
_LONGEST_ROUTE_NAME = 64


class RouteSettings(Section):
    """One rule for paths. The first route whose path, method and host fit decides."""

    path: Annotated[str, AfterValidator(grammar.check_template)] = Field(
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
        default=(), max_length=16, description="Scopes that a key must hold, all of them."
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
    ) = Field(default=None, description="What logs and metrics call it; without a name, its path.")

    @field_validator("auth")
    @classmethod
    def _scopes_need_a_key(cls, auth: str, info: ValidationInfo) -> str:
        if auth != "required" and info.data.get("scopes"):
            raise ValueError(
                f"{auth!r} lets requests without a key pass, "
                "so the scopes of this route would protect nothing"
            )
        return auth


class RateSettings(Section):
    """One token bucket: `10/second burst 20` or, with a name, `{rate: 10/second burst 20, name: burst}`."""

    count: Whole = Field(ge=1, le=LARGEST_COUNT, description="How many requests each period refills.")
    period: Duration = Field(description="The time in which `count` requests are refilled, evenly.")
    burst: Whole = Field(
        ge=1, le=LARGEST_COUNT, description="How many requests may come at once; default: the count."
    )
    name: Annotated[str, AfterValidator(grammar.check_rate_name)] = Field(
        description="What the RateLimit headers call it; default: after its period, such as `per-second`."
    )

    @classmethod
    def parse(cls, text: str) -> RateSettings:
        """Make one from its text form.

        Raises:
            ValueError: The text is not a rate.
        """
        return cls.model_validate(text)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            return _expanded({}, parse_rate(value))
        if not isinstance(value, Mapping):
            return value
        if "rate" in value:
            if not isinstance(value["rate"], str):
                raise ValueError("'rate' must be text such as '10/second burst 20'")
            return _expanded(
                {key: item for key, item in value.items() if key != "rate"}, parse_rate(value["rate"])
            )
        if not {"count", "period"} <= value.keys():
            raise ValueError("needs a 'rate', such as {rate: 10/second burst 20, name: burst}")
        period = to_duration(value["period"])
        return {"burst": value["count"], "name": name_of_period(period), **value}

    @model_validator(mode="after")
    def _refills_in_a_lifetime(self) -> RateSettings:
        # Clients are told how long the refill takes, in fifteen digits at most (RFC 9651 section 3.3.1).
        if self.period / LONGEST_REFILL * self.burst > self.count:
            raise ValueError(
                f"the burst would take more than {LONGEST_REFILL.days} days to refill; "
                "lower it, or raise the rate"
            )
        return self

    @model_serializer
    def _to_text(self) -> str | dict[str, str]:
        text = format_rate(Rate(self.count, self.period, self.burst))
        return text if self.name == name_of_period(self.period) else {"rate": text, "name": self.name}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe what an operator writes, which is not what the fields hold."""
        del core_schema, handler
        rate = {"type": "string", "examples": ["10/second burst 20", "1000/hour", "5/10s"]}
        name = {"type": "string", "pattern": f"^{grammar.RATE_NAME.pattern}$"}
        named = {
            "type": "object",
            "properties": {"rate": rate, "name": name},
            "required": ["rate"],
            "additionalProperties": False,
        }
        return {"title": cls.__name__, "description": cls.__doc__, "anyOf": [rate, named]}

    def to_limit(self) -> Limit:
        """Turn it into the token bucket of the limiter, with the period in microseconds."""
        return Limit(self.name, self.burst, self.count, self.period // timedelta(microseconds=1))


def _expanded(others: Mapping[str, Any], rate: Rate) -> dict[str, Any]:
    parts = {"count": rate.amount, "period": rate.period, "burst": rate.burst}
    doubled = others.keys() & parts.keys()
    if doubled:
        raise ValueError(f"{min(doubled)!r} is part of 'rate' already")
    return {"name": name_of_period(rate.period), **others, **parts}


class TierSettings(Section):
    """What the keys of one tier may use."""

    rates: tuple[RateSettings, ...] = Field(
        default=(),
        max_length=8,
        description="Rates that all must have room, taken all or nothing; none listed: unlimited.",
    )
    scopes: tuple[Scope, ...] = Field(
        default=(),
        description="Scopes that keys of this tier may hold, wildcards for families; none listed: all.",
    )

    @field_validator("rates")
    @classmethod
    def _names_differ(cls, rates: tuple[RateSettings, ...]) -> tuple[RateSettings, ...]:
        names = [rate.name for rate in rates]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"two rates are named {name!r}: name one, as in {{rate: 10/second, name: other}}"
                )
        return rates

    def to_limits(self) -> tuple[Limit, ...]:
        """Turn the rates into token buckets."""
        return tuple(rate.to_limit() for rate in self.rates)


def parse_own_limits(limits: Mapping[str, object]) -> tuple[Limit, ...]:
    """Read the limits that a key has instead of its tier's: `{"rates": ["10/second"]}`.

    Raises:
        ValueError: That is no set of limits; the message says what is wrong.
    """
    if set(limits) != {"rates"} or not isinstance(limits["rates"], list | tuple):
        raise ValueError('own limits look like {"rates": ["10/second burst 20", "1000/hour"]}')
    try:
        return TierSettings.model_validate({"rates": limits["rates"]}).to_limits()
    except ValidationError as error:
        messages = (mistake["msg"].removeprefix("Value error, ") for mistake in error.errors())
        raise ValueError("; ".join(messages)) from None
