"""The section about the dashboard: whether there is one, how long sessions last, what consumers may do."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, ValidationInfo, field_validator

from extauth.settings.base import Section
from extauth.settings.values import Duration

# Sessions that were ended are remembered for as long in the store.
LONGEST_SESSION = timedelta(hours=24)
_SHORTEST = timedelta(minutes=1)


class SelfServiceSettings(Section):
    """What consumers may do with their own keys, within the policies of `keys`."""

    create: bool = Field(
        default=True,
        description="Whether consumers may make keys: of their own tier, with scopes that they hold already.",
    )
    rotate: bool = Field(default=True, description="Whether consumers may replace their keys.")
    revoke: bool = Field(default=True, description="Whether consumers may end their keys.")


class DashboardSettings(Section):
    """The pages at `/dashboard/` on the admin listener."""

    enabled: bool = Field(default=True, description="Whether there is a dashboard.")
    idle_timeout: Duration = Field(
        default=timedelta(minutes=15), description="A session ends when it was not used for so long."
    )
    session_lifetime: Duration = Field(
        default=timedelta(hours=12),
        description="A session ends after so long, however much it is used; 24h at most.",
    )
    behind_proxy: bool = Field(
        default=False,
        description=(
            "Whether a proxy stands before the admin listener that sets `X-Forwarded-Proto` and "
            "`X-Forwarded-For`: then cookies are marked Secure where it says https, and sign-ins count "
            "against the address that it names, counted back over `proxy.trusted_hops`. Else both headers "
            "are anybody's word."
        ),
    )
    self_service: SelfServiceSettings = Field(
        default=SelfServiceSettings(), description="What consumers may do with their own keys."
    )

    @field_validator("idle_timeout")
    @classmethod
    def _long_enough_to_read(cls, idle: timedelta) -> timedelta:
        if idle < _SHORTEST:
            raise ValueError("must be at least 1m")
        return idle

    @field_validator("session_lifetime")
    @classmethod
    def _ends_within_a_day(cls, lifetime: timedelta, info: ValidationInfo) -> timedelta:
        idle = info.data.get("idle_timeout")
        if lifetime > LONGEST_SESSION:
            raise ValueError("must be 24h at most: ended sessions are remembered for no longer")
        if idle is not None and lifetime < idle:
            raise ValueError("must be at least as long as 'idle_timeout'")
        return lifetime
