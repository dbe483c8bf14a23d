"""The section about failed authentications: how many are borne, and what follows."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, ValidationInfo, field_validator

from extauth.abuse.budgets import Budget
from extauth.abuse.monitor import AbuseRules
from extauth.settings.base import Section, Whole
from extauth.settings.networks import LOOPBACK, NetworkText
from extauth.settings.values import Duration

_MICROSECOND = timedelta(microseconds=1)


class BudgetSettings(Section):
    """How many failures are borne of one address, or of one key id."""

    failures: Whole = Field(
        default=30, ge=1, le=1_000_000, description="So many failures within `window` begin a ban."
    )
    window: Duration = Field(
        default=timedelta(minutes=1), description="How long failures are added up, from the first of them on."
    )
    ban: Duration = Field(
        default=timedelta(minutes=1),
        description="How long the first ban lasts; each further one lasts twice as long as the one before.",
    )
    longest: Duration = Field(
        default=timedelta(hours=1),
        description=(
            "How long a ban lasts at most, and after how long without one the next is a first again. At "
            "least as long as `ban`."
        ),
    )

    @field_validator("longest")
    @classmethod
    def _longest_is_longer(cls, longest: timedelta, info: ValidationInfo) -> timedelta:
        ban = info.data.get("ban")
        if ban is not None and longest < ban:
            raise ValueError("must be at least as long as 'ban'")
        return longest

    def to_budget(self) -> Budget:
        """Return the budget."""
        window, ban, longest = (span // _MICROSECOND for span in (self.window, self.ban, self.longest))
        return Budget(self.failures, window, ban, longest)


class AbuseSettings(Section):
    """What follows when authentication fails again and again."""

    enabled: bool = Field(
        default=True,
        description=(
            "Whether bans begin by themselves. Switched off, only those hold that operators have ordered; "
            "failures are counted all the same."
        ),
    )
    per_address: BudgetSettings = Field(
        default=BudgetSettings(), description="Keys that are refused with 401, by client address."
    )
    per_key: BudgetSettings = Field(
        default=BudgetSettings(),
        description="Secrets that argon2 found to be wrong though their tag fits, by key id.",
    )
    allow: tuple[NetworkText, ...] = Field(
        default=LOOPBACK,
        description=(
            "Addresses and networks that no ban of itself refuses. By default those of this machine, "
            "which is what a proxy beside extauth is seen as if it doesn't tell whom it speaks for."
        ),
    )

    def to_rules(self) -> AbuseRules:
        """Return the rules."""
        return AbuseRules(
            per_address=self.per_address.to_budget(),
            per_key=self.per_key.to_budget(),
            allow=self.allow,
            enabled=self.enabled,
        )
