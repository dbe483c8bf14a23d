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
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from extauth.model import Per
from extauth.settings import grammar
from extauth.settings.abuse import AbuseSettings, BudgetSettings
from extauth.settings.base import KIND, Fraction, Section, Whole, kind, mistake_at, mistakes_at
from extauth.settings.dashboard import DashboardSettings
from extauth.settings.docs import DocsSettings
from extauth.settings.draining import DrainSettings
from extauth.settings.failure import FailureSettings
from extauth.settings.headers import HeaderSettings
from extauth.settings.keys import (
    DEFAULT_TIER,
    AuditSettings,
    CacheSettings,
    HashingSettings,
    KeySettings,
    TierName,
)
from extauth.settings.limits import LimitSettings
from extauth.settings.meeting import mistakes_of
from extauth.settings.rates import QuotaSettings, RateSettings
from extauth.settings.routing import Method, RouteSettings, TierSettings
from extauth.settings.store import StoreSettings
from extauth.settings.throttle import ThrottleSettings
from extauth.settings.tracing import TracingSettings
from extauth.settings.values import Address, Duration, parse_address

__all__ = [
    "AbuseSettings",
    "Address",
    "AuditSettings",
    "BudgetSettings",
    "CacheSettings",
    "CredentialSettings",
    "DashboardSettings",
    "DocsSettings",
    "DrainSettings",
    "FailureSettings",
    "HashingSettings",
    "HeaderSettings",
    "KeySettings",
    "LimitSettings",
    "ListenSettings",
    "LogSettings",
    "ProxySettings",
    "QuotaSettings",
    "RateSettings",
    "RouteSettings",
    "Settings",
    "StoreSettings",
    "ThrottleSettings",
    "TierSettings",
    "TracingSettings",
    "UsageSettings",
]


def _to_address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an address such as 127.0.0.1:9000")  # noqa: TRY004 - pydantic collects ValueErrors only
    return parse_address(value)


ListenAddress = Annotated[
    Address,
    PlainValidator(_to_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            KIND: "address",
            "examples": ["127.0.0.1:9000", "[::1]:9000", "unix:/run/extauth/check.sock"],
        }
    ),
]


def _same_path(one: Address, other: Address) -> bool:
    return one.is_unix and one.path == other.path


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
    completion: ListenAddress = Field(
        default=Address("127.0.0.1", 9002),
        description=(
            "Where proxies report that a request ended, in the same forms: HTTP, and datagrams on the same "
            "port of UDP, or beside `unix:/path` on `unix:/path.dgram`."
        ),
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
    drain: DrainSettings = Field(default=DrainSettings(), description="The end of the server.")

    @field_validator("admin")
    @classmethod
    def _listeners_differ(cls, admin: Address, info: ValidationInfo) -> Address:
        check = info.data.get("check")
        if check is not None and admin.collides_with(check):
            raise ValueError(f"'{admin}' can't be used together with 'listen.check', which is '{check}'")
        return admin

    @field_validator("completion")
    @classmethod
    def _completion_differs(cls, completion: Address, info: ValidationInfo) -> Address:
        datagrams = completion.for_datagrams()
        for name in ("check", "admin"):
            other = info.data.get(name)
            if other is not None and (completion.collides_with(other) or _same_path(datagrams, other)):
                raise ValueError(
                    f"'{completion}' can't be used together with 'listen.{name}', which is '{other}'"
                )
        return completion


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


class UsageSettings(Section):
    """How much is used, by whom and where."""

    enabled: bool = Field(
        default=True,
        description="Whether requests are counted by key, user, route and tier, and kept in the store.",
    )


def _with_default_tier(tiers: dict[str, TierSettings]) -> dict[str, TierSettings]:
    return {DEFAULT_TIER: _DEFAULT_TIER_SETTINGS, **tiers}


_DEFAULT_TIER_SETTINGS = TierSettings(rates=(RateSettings.parse("100/second burst 200"),))


class Settings(Section):
    """All settings. With no file at all, each path needs a valid key from the embedded store."""

    listen: ListenSettings = Field(default=ListenSettings(), description="Listeners and their patience.")
    store: StoreSettings = Field(default=StoreSettings(), description="Keys and limiter state.")
    keys: KeySettings = Field(default=KeySettings(), description="The look and protection of keys.")
    audit: AuditSettings = Field(default=AuditSettings(), description="The log of changes.")
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
    limits: LimitSettings = Field(default=LimitSettings(), description="Limits of everybody.")
    failure: FailureSettings = Field(
        default=FailureSettings(), description="What is answered while the store fails."
    )
    throttle: ThrottleSettings = Field(
        default=ThrottleSettings(),
        description="How much one process takes on at a time, and who reports ends.",
    )
    abuse: AbuseSettings = Field(default=AbuseSettings(), description="Failed authentications, and bans.")
    workers: Whole = Field(
        default=1,
        ge=1,
        le=64,
        description=(
            "How many processes serve. More than one needs a Redis, because each would keep limits of its "
            "own in the embedded store."
        ),
    )
    dashboard: DashboardSettings = Field(
        default=DashboardSettings(), description="The pages at `/dashboard/` on the admin listener."
    )
    headers: HeaderSettings = Field(default=HeaderSettings(), description="Headers of answers.")
    log: LogSettings = Field(default=LogSettings(), description="Log lines.")
    usage: UsageSettings = Field(default=UsageSettings(), description="How much is used, by whom and where.")
    tracing: TracingSettings = Field(default=TracingSettings(), description="Traces, for OpenTelemetry.")
    docs: DocsSettings = Field(default=DocsSettings(), description="The pages for consumers of the API.")
    docs_url: Annotated[str, AfterValidator(grammar.check_docs_url), kind("URL")] | None = Field(
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

    @field_validator("limits")
    @classmethod
    def _limits_can_meet(cls, limits: LimitSettings, info: ValidationInfo) -> LimitSettings:
        routes, tiers = info.data.get("routes"), info.data.get("tiers")
        # What could not be read has mistakes of its own.
        if routes is not None and tiers is not None:
            mistakes = mistakes_of(routes, tiers, limits)
            if mistakes:
                raise mistakes_at(mistakes)
        return limits

    @field_validator("workers")
    @classmethod
    def _workers_share_a_store(cls, workers: int, info: ValidationInfo) -> int:
        store = info.data.get("store")
        if workers > 1 and isinstance(store, StoreSettings) and store.is_embedded:
            raise ValueError(
                f"{workers} workers need a Redis in 'store.url': with the embedded store each would count "
                f"limits for itself, and let {workers} times as much pass"
            )
        return workers

    @property
    def counts_routes_apart(self) -> bool:
        """Whether a limit that stands at no route counts each route for itself."""
        limits = [limit for tier in self.tiers.values() for limit in tier.to_all_limits()]
        limits += self.limits.to_common() + self.limits.to_anonymous()
        return any(limit.per is Per.ROUTE for limit in limits)
