"""The sections about keys: how they look, how long they live, how their secrets are protected."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, SecretStr, ValidationInfo, field_validator

from extauth.settings import grammar
from extauth.settings.base import Section, Whole
from extauth.settings.values import Duration

HIDDEN = "********"
SHORTEST_PEPPER = 32
DEFAULT_TIER = "default"
NO_SHARED_PEPPER = (
    "servers that share a store must be given the same pepper; make one with `openssl rand -hex 32` and set "
    "keys.peppers, EXTAUTH_KEYS__PEPPERS or keys.peppers_file"
)


def _check_pepper(pepper: SecretStr) -> SecretStr:
    if len(pepper.get_secret_value()) < SHORTEST_PEPPER:
        raise ValueError(f"a pepper needs at least {SHORTEST_PEPPER} characters")
    return pepper


Label = Annotated[str, AfterValidator(grammar.check_label)]
Pepper = Annotated[
    SecretStr, AfterValidator(_check_pepper), PlainSerializer(lambda _: HIDDEN, return_type=str)
]
TierName = Annotated[str, AfterValidator(grammar.check_tier_name)]


class HashingSettings(Section):
    """The cost of argon2id."""

    memory_kib: Whole = Field(
        default=19_456, ge=8192, le=1_048_576, description="argon2id's memory for one hash, in KiB."
    )
    time_cost: Whole = Field(default=2, ge=1, le=10, description="argon2id's passes over its memory.")
    parallelism: Whole = Field(default=1, ge=1, le=8, description="argon2id's lanes.")
    workers: Whole = Field(default=0, ge=0, le=256, description="Threads that hash; 0: one for each core.")
    queue: Whole = Field(
        default=64,
        ge=1,
        description="How many first verifications may wait for a thread; beyond that the answer is 503.",
    )


class CacheSettings(Section):
    """What is remembered about keys."""

    verified: Whole = Field(
        default=100_000, ge=1, description="Keys whose secret was verified, so argon2id needn't run again."
    )
    records: Whole = Field(default=100_000, ge=1, description="Key records.")
    rejected: Whole = Field(default=10_000, ge=1, description="Key texts known to be wrong.")


class KeySettings(Section):
    """What keys look like and how their secrets are protected."""

    prefix: Label = Field(
        default="xa", description="What every key begins with, so that secret scanners find lost ones."
    )
    environments: tuple[Label, ...] = Field(
        default=("live", "test"),
        min_length=1,
        description="Environments that keys are made for; each shows in its keys.",
    )
    default_environment: Label = Field(
        default="live", description="The environment of keys made without naming one."
    )
    secret_length: Whole = Field(
        default=43,
        ge=22,
        le=86,
        description="Characters of a new key's secret, in base62: 22 hold 128 bits, 43 hold 256.",
    )
    default_tier: TierName = Field(
        default=DEFAULT_TIER, description="The tier of keys made without naming one."
    )
    peppers: tuple[Pepper, ...] = Field(
        default=(),
        description=(
            "Secrets of the server under which keys are tagged, newest first, each at least 32 characters. "
            "New keys use the first, older ones stay valid. Without any, the embedded store makes one beside "
            "its file."
        ),
    )
    peppers_file: Path | None = Field(
        default=None, description="A file with one pepper a line, newest first, instead of `peppers`."
    )
    default_lifetime: Duration | None = Field(
        default=None, description="How long keys live that are made without an end; by default for ever."
    )
    longest_lifetime: Duration | None = Field(
        default=None,
        description=(
            "How long a key may live at most; by default for ever. Needs a `keys.default_lifetime` that is "
            "no longer."
        ),
    )
    default_grace: Duration = Field(
        default=timedelta(hours=24), description="How long a rotated key goes on working."
    )
    longest_grace: Duration = Field(default=timedelta(days=30), description="How long that may be at most.")
    per_user: Whole | None = Field(
        default=None, ge=1, description="How many keys that are not revoked a user may have; by default any."
    )
    imported: bool = Field(
        default=False,
        description=(
            "Also look for keys that were imported from another system. Off, because each text that looks "
            "like no key then costs a look into the store."
        ),
    )
    accept_untagged: bool = Field(
        default=False,
        description=(
            "For the loss of a pepper: also let keys reach argon2id whose tag fits none. Bounded by the pool "
            "and by 30 failures a minute; set it back once clients have new keys."
        ),
    )
    hashing: HashingSettings = Field(
        default=HashingSettings(),
        description=(
            "What argon2id costs, and how much of it may run at once. Hashes made under other costs stay "
            "valid."
        ),
    )
    cache: CacheSettings = Field(
        default=CacheSettings(),
        description=(
            "How much is sure to be remembered in memory, in entries used last; at most twice as many are."
        ),
    )

    @field_validator("peppers")
    @classmethod
    def _peppers_differ(cls, peppers: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if len(peppers) != len(set(peppers)):
            raise ValueError("a pepper is listed twice")
        return peppers

    @field_validator("environments")
    @classmethod
    def _environments_differ(cls, environments: tuple[str, ...]) -> tuple[str, ...]:
        if len(environments) != len(set(environments)):
            raise ValueError("an environment is listed twice")
        return environments

    @field_validator("default_environment")
    @classmethod
    def _default_is_listed(cls, default: str, info: ValidationInfo) -> str:
        environments = info.data.get("environments")
        if environments is not None and default not in environments:
            raise ValueError(f"{default!r} is not among 'keys.environments' ({', '.join(environments)})")
        return default

    @field_validator("longest_lifetime")
    @classmethod
    def _default_lifetime_fits(cls, longest: timedelta | None, info: ValidationInfo) -> timedelta | None:
        default = info.data.get("default_lifetime")
        if longest is not None and (default is None or default > longest):
            raise ValueError("needs a 'keys.default_lifetime' that is no longer")
        return longest

    @field_validator("longest_grace")
    @classmethod
    def _default_grace_fits(cls, longest: timedelta, info: ValidationInfo) -> timedelta:
        default = info.data.get("default_grace")
        if default is not None and default > longest:
            raise ValueError("is shorter than 'keys.default_grace'")
        return longest

    @field_validator("peppers_file")
    @classmethod
    def _one_source_of_peppers(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("peppers"):
            raise ValueError("give 'keys.peppers' or 'keys.peppers_file', not both")
        return file


class AuditSettings(Section):
    """The log of all changes of keys."""

    retention: Duration = Field(
        default=timedelta(days=400),
        description=(
            "How long entries are kept; servers forget older ones when they start and every hour, of several "
            "workers one for all."
        ),
    )
