"""The section of the limits that belong to no tier and to no route."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from extauth.model import Limit, Per
from extauth.settings.base import Section
from extauth.settings.cool_down import CoolDownSettings
from extauth.settings.rates import MOST_RATES, OF_ALL, OF_ANONYMOUS, RateSettings, check_names_differ

PER_KEY = frozenset({Per.KEY, Per.USER})


def _needs_no_key(rate: RateSettings) -> RateSettings:
    if rate.per in PER_KEY:
        raise ValueError(f"without a key there is nothing to count per {rate.per}: take ip, route or all")
    return rate


class LimitSettings(Section):
    """Limits that hold whoever asks, beside those of tiers and routes."""

    rates: tuple[RateSettings, ...] = Field(
        default=(),
        max_length=MOST_RATES,
        description=(
            "Rates that every request takes, with a key or without. They count all requests together "
            "(`per: all`) unless they say. At most 8."
        ),
    )
    anonymous: tuple[Annotated[RateSettings, AfterValidator(_needs_no_key)], ...] = Field(
        default=(),
        max_length=MOST_RATES,
        description=(
            "Rates of requests without a key, where routes let them in. They count each client address for "
            "itself (`per: ip`) unless they say `route` or `all`. None listed: unlimited. At most 8."
        ),
    )

    anonymous_cool_down: CoolDownSettings | None = Field(
        default=None,
        description=(
            "What becomes of a client address that goes on past its refusals without a key; nothing where it "
            "is not set. `{}` has the defaults. With a key its tier's `cool_down` holds instead."
        ),
    )

    @field_validator("rates")
    @classmethod
    def _names_differ(cls, rates: tuple[RateSettings, ...]) -> tuple[RateSettings, ...]:
        check_names_differ([rate.to_limit(OF_ALL) for rate in rates])
        return rates

    @field_validator("anonymous")
    @classmethod
    def _anonymous_names_differ(cls, rates: tuple[RateSettings, ...]) -> tuple[RateSettings, ...]:
        check_names_differ([rate.to_limit(OF_ANONYMOUS) for rate in rates])
        return rates

    @field_validator("anonymous_cool_down")
    @classmethod
    def _anonymous_cool_down_has_its_own_name(
        cls, cool_down: CoolDownSettings | None, info: ValidationInfo
    ) -> CoolDownSettings | None:
        if cool_down is not None:
            limits = [rate.to_limit(OF_ANONYMOUS) for rate in info.data.get("anonymous", ())]
            check_names_differ([*limits, cool_down.to_limit(Per.IP)])
        return cool_down

    def to_common(self) -> tuple[Limit, ...]:
        """Return the limits that every request takes."""
        return tuple(rate.to_limit(OF_ALL) for rate in self.rates)

    def to_anonymous(self) -> tuple[Limit, ...]:
        """Return the limits of requests without a key."""
        limits = tuple(rate.to_limit(OF_ANONYMOUS) for rate in self.anonymous)
        if self.anonymous_cool_down is None:
            return limits
        return (*limits, self.anonymous_cool_down.to_limit(Per.IP))
