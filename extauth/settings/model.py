"""Everything an operator can set, with defaults that are safe to start with. It reads no file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from extauth.settings import grammar
from extauth.settings.base import Fraction, Section, Whole, mistake_at
from extauth.settings.routing import Method, RateSettings, RouteSettings, TierSettings
from extauth.settings.values import Address, Duration, parse_address

__all__ = [
    "Address",
    "CacheSettings",
    "CredentialSettings",
    "HashingSettings",
    "HeaderSettings",
    "KeySettings",
    "ListenSettings",
    "LogSettings",
    "ProxySettings",
    "RateSettings",
    "RouteSettings",
    "Settings",
    "StoreSettings",
    "TierSettings",
]

HIDDEN = "********"
SHORTEST_PEPPER = 32
DEFAULT_TIER = "default"


def _to_address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an address such as 127.0.0.1:9000")  # noqa: TRY004 - pydantic collects ValueErrors only
    return parse_address(value)


def _check_pepper(pepper: SecretStr) -> SecretStr:
    if len(pepper.get_secret_value()) < SHORTEST_PEPPER:
        raise ValueError(f"a pepper needs at least {SHORTEST_PEPPER} characters")
    return pepper


ListenAddress = Annotated[
    Address,
    PlainValidator(_to_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"type": "string", "examples": ["127.0.0.1:9000", "[::1]:9000", "unix:/run/extauth/check.sock"]}
    ),
]
Label = Annotated[str, AfterValidator(grammar.check_label)]
Pepper = Annotated[
    SecretStr, AfterValidator(_check_pepper), PlainSerializer(lambda _: HIDDEN, return_type=str)
]
TierName = Annotated[str, AfterValidator(grammar.check_tier_name)]


class ListenSettings(Section):
    """Where the service listens, and how long it is patient with clients."""

    check: ListenAddress = Field(
        default=Address("127.0.0.1", 9000),
        description="Where proxies ask: `host:port`, `[IPv6]:port` or `unix:/path`. It administers nothing.",
    )
    admin: ListenAddress = Field(
        default=Address("127.0.0.1", 9001),
        description="Where metrics and health are served, in the same forms.",
    )
    idle_timeout: Duration = Field(
        default=timedelta(seconds=75),
        description=(
            "How long an idle connection is kept. It must be longer than the proxies' idle time-out, or now "
            "and then a proxy sends a check into a connection that is just being closed."
        ),
    )
    head_timeout: Duration = Field(
        default=timedelta(seconds=10),
        description="How long a request's head may take to arrive, from its first byte.",
    )
    max_connections: Whole = Field(
        default=10_000, ge=1, description="How many connections a listener holds at most."
    )

    @field_validator("admin")
    @classmethod
    def _listeners_differ(cls, admin: Address, info: ValidationInfo) -> Address:
        check = info.data.get("check")
        if check is not None and admin.collides_with(check):
            raise ValueError(f"'{admin}' can't be used together with 'listen.check', which is '{check}'")
        return admin


class StoreSettings(Section):
    """Where keys and limiter state are kept."""

    url: Annotated[str, AfterValidator(grammar.check_store_url)] = Field(
        default="sqlite:///extauth-data/extauth.db",
        description=(
            "The store. `sqlite:///` is followed by a file's path: relative to the working directory, or "
            "absolute when it begins with a fourth slash."
        ),
    )

    @property
    def path(self) -> Path:
        """The file of the embedded store."""
        return grammar.store_path(self.url)


class HashingSettings(Section):
    """What argon2id costs, and how much of it may run at once. Hashes made under other costs stay valid."""

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
    """How much is remembered in memory, in entries. A full cache forgets what was used longest ago."""

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
    hashing: HashingSettings = Field(default=HashingSettings(), description="The cost of argon2id.")
    cache: CacheSettings = Field(default=CacheSettings(), description="What is remembered about keys.")

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

    @field_validator("peppers_file")
    @classmethod
    def _one_source_of_peppers(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("peppers"):
            raise ValueError("give 'keys.peppers' or 'keys.peppers_file', not both")
        return file


class CredentialSettings(Section):
    """Where a key may stand in a request. `Authorization: Bearer` and `X-API-Key` are always looked at."""

    query_parameter: bool = Field(
        default=False,
        description="Also look at the query parameter `api_key`. Off, because queries end up in logs.",
    )
    realm: Annotated[str, AfterValidator(grammar.check_printable)] = Field(
        default="extauth", description="The realm named in `WWW-Authenticate`."
    )


class ProxySettings(Section):
    """What stands between clients and this service."""

    trusted_hops: Whole = Field(
        default=1,
        ge=1,
        description=(
            "How many proxies append to `X-Forwarded-For`: the client's address is that many entries from "
            "its end. Only looked at where the proxy sends no `X-Extauth-Client-Ip`."
        ),
    )
    methods: tuple[Method, ...] = Field(
        default=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
        min_length=1,
        description="Methods that may pass at all. CONNECT and TRACE can't be listed.",
    )


class HeaderSettings(Section):
    """How limits are told to clients."""

    reset: Literal["delta", "epoch"] = Field(
        default="delta",
        description="What `X-RateLimit-Reset` holds: seconds from now, or seconds since 1970.",
    )


class LogSettings(Section):
    """What is logged, and where."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )
    allowed_sample: Fraction = Field(
        default=1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The part of allowed decisions that gets a line; refusals always get one.",
    )
    file: Path | None = Field(
        default=None, description="The file that lines are appended to; without one, standard output."
    )


def _with_default_tier(tiers: dict[str, TierSettings]) -> dict[str, TierSettings]:
    return {DEFAULT_TIER: _DEFAULT_TIER_SETTINGS, **tiers}


_DEFAULT_TIER_SETTINGS = TierSettings(rates=(RateSettings.parse("100/second burst 200"),))


class Settings(Section):
    """All settings. With no file at all, each path needs a valid key from the embedded store."""

    listen: ListenSettings = Field(default=ListenSettings(), description="Listeners and their patience.")
    store: StoreSettings = Field(default=StoreSettings(), description="Keys and limiter state.")
    keys: KeySettings = Field(default=KeySettings(), description="The look and protection of keys.")
    credentials: CredentialSettings = Field(default=CredentialSettings(), description="Where keys may stand.")
    proxy: ProxySettings = Field(default=ProxySettings(), description="The proxies in front.")
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="Rules for paths; the first that fits decides."
    )
    default_route: Literal["authenticate", "deny", "allow"] = Field(
        default="authenticate",
        description="What happens where no route fits: any valid key passes, nobody, or everybody.",
    )
    tiers: Annotated[dict[TierName, TierSettings], AfterValidator(_with_default_tier)] = Field(
        default={DEFAULT_TIER: _DEFAULT_TIER_SETTINGS},
        description="Named sets of limits. The tier `default` exists also when others are listed without it.",
    )
    headers: HeaderSettings = Field(default=HeaderSettings(), description="Limits in headers.")
    log: LogSettings = Field(default=LogSettings(), description="Log lines.")
    docs_url: Annotated[str, AfterValidator(grammar.check_docs_url)] | None = Field(
        default=None,
        description=(
            "Where your consumers find documentation: problem bodies point to `<docs_url>/problems/<code>`. "
            "An http or https URL; a trailing slash is taken off."
        ),
    )

    @field_validator("routes")
    @classmethod
    def _methods_can_pass(
        cls, routes: tuple[RouteSettings, ...], info: ValidationInfo
    ) -> tuple[RouteSettings, ...]:
        # A misspelt method would make its route match nothing, and the request fall to a laxer rule below it.
        proxy = info.data.get("proxy")
        if not isinstance(proxy, ProxySettings):
            return routes
        for position, route in enumerate(routes):
            for method in route.methods:
                if method not in proxy.methods:
                    at = ("routes", position, "methods")
                    raise mistake_at(at, f"{method!r} is not among 'proxy.methods', so it could never match")
        return routes

    @field_validator("tiers")
    @classmethod
    def _default_tier_exists(
        cls, tiers: dict[str, TierSettings], info: ValidationInfo
    ) -> dict[str, TierSettings]:
        keys = info.data.get("keys")
        if keys is not None and keys.default_tier not in tiers:
            known = ", ".join(tiers)
            raise mistake_at(
                ("keys", "default_tier"), f"{keys.default_tier!r} is not among 'tiers' ({known})"
            )
        return tiers
