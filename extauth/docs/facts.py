"""What the settings say to those who use the API, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

from extauth.docs import words
from extauth.keys.token import KEY_ID_LENGTH, TAG_LENGTH
from extauth.model import Per
from extauth.settings.concurrency import ConcurrencySettings
from extauth.settings.model import RateSettings, RouteSettings, Settings
from extauth.settings.rates import OF_A_ROUTE, OF_ALL, OF_ANONYMOUS, OF_KEYS, Place

_ACCESS = {
    "required": "A valid key is needed.",
    "optional": "Works without a key; a key that is sent must be valid.",
    "none": "No key is needed.",
}
_OTHER_PATHS = {
    "authenticate": "Any other path needs a valid key, and no scope.",
    "deny": "Any other path is refused, whoever asks.",
    "allow": "Any other path is open to everybody.",
}
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~/-")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFact:
    """One limit: what headers and problems call it, what it lets pass, and of whom."""

    name: str
    text: str
    whose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TierFact:
    """One tier. `scopes` are those that its keys may hold, none: all; `cool_down` may be empty."""

    name: str
    is_default: bool
    limits: Sequence[LimitFact]
    cool_down: str
    scopes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFact:
    """One rule for paths. No `methods` and no `hosts` mean all; `counts_for` may be empty."""

    path: str
    methods: Sequence[str]
    hosts: Sequence[str]
    access: str
    scopes: Sequence[str]
    cost: int
    counts_for: str
    limits: Sequence[LimitFact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of them. `lists_routes` False means that routes and scopes are not for everybody's eyes."""

    title: str
    api_url: str
    example_path: str
    docs_url: str
    realm: str
    query_parameter: bool
    key_shapes: Sequence[str]
    key_length: int
    foreign_keys: bool
    lifetime: str
    grace: str
    longest_grace: str
    methods: Sequence[str]
    lists_routes: bool
    routes: Sequence[RouteFact]
    other_paths: str
    scopes: Sequence[str]
    tiers: Sequence[TierFact]
    of_everybody: Sequence[LimitFact]
    of_anonymous: Sequence[LimitFact]
    anonymous_cool_down: str
    epoch_reset: bool


def facts_of(settings: Settings) -> Facts:
    """Return what these settings say."""
    keys, limits, docs = settings.keys, settings.limits, settings.docs
    shown = settings.routes if docs.routes else ()
    cool_down = limits.anonymous_cool_down
    return Facts(
        title=docs.title,
        api_url=docs.api_url,
        example_path=_example_path(shown),
        docs_url=settings.docs_url or "",
        realm=settings.credentials.realm,
        query_parameter=settings.credentials.query_parameter,
        key_shapes=[f"{keys.prefix}_{environment}_" for environment in keys.environments],
        key_length=KEY_ID_LENGTH + len("_") + keys.secret_length + TAG_LENGTH,
        foreign_keys=keys.imported,
        lifetime=_duration(keys.default_lifetime),
        grace=words.duration(keys.default_grace),
        longest_grace=words.duration(keys.longest_grace),
        methods=settings.proxy.methods,
        lists_routes=docs.routes,
        routes=[_route(route) for route in shown],
        other_paths=_OTHER_PATHS[settings.default_route],
        scopes=sorted(set(chain.from_iterable(route.scopes for route in shown))),
        tiers=[_tier(settings, name) for name in settings.tiers],
        of_everybody=_rates(limits.rates, OF_ALL),
        of_anonymous=_rates(limits.anonymous, OF_ANONYMOUS),
        anonymous_cool_down="" if cool_down is None else words.cool_down(cool_down),
        epoch_reset=settings.headers.reset == "epoch",
    )


def _tier(settings: Settings, name: str) -> TierFact:
    tier = settings.tiers[name]
    limits = _rates(tier.rates, OF_KEYS)
    if tier.quota is not None and not tier.quota.shadow:
        limit = tier.quota.to_limit()
        limits.append(_fact(limit.name, words.quota(tier.quota), limit.per, OF_KEYS))
    limits += _in_flight(tier.concurrency, "concurrency", OF_KEYS)
    # What never refuses is nothing that a caller has to know of.
    return TierFact(
        name=name,
        is_default=name == settings.keys.default_tier,
        limits=() if tier.shadow else limits,
        cool_down="" if tier.shadow or tier.cool_down is None else words.cool_down(tier.cool_down),
        scopes=tier.scopes if settings.docs.routes else (),
    )


def _route(route: RouteSettings) -> RouteFact:
    limits = _rates(route.limits, OF_A_ROUTE)
    limits += _in_flight(route.concurrency, "route-concurrency", OF_A_ROUTE)
    return RouteFact(
        path=route.path,
        methods=route.methods,
        hosts=route.hosts,
        access=_ACCESS[route.auth],
        scopes=route.scopes,
        cost=route.cost,
        counts_for=_duration(route.timeout),
        limits=() if route.shadow else limits,
    )


def _rates(rates: Iterable[RateSettings], place: Place) -> list[LimitFact]:
    told = ((rate, rate.to_limit(place)) for rate in rates if not rate.shadow)
    return [_fact(limit.name, words.rate(rate), limit.per, place) for rate, limit in told]


def _in_flight(concurrency: ConcurrencySettings | None, name: str, place: Place) -> list[LimitFact]:
    if concurrency is None:
        return []
    return [_fact(name, words.in_flight(concurrency), Per(concurrency.per), place)]


def _fact(name: str, text: str, per: Per, place: Place) -> LimitFact:
    # Of one route's requests, those of each route are all.
    together = Per.ALL if place is OF_A_ROUTE and per is Per.ROUTE else per
    return LimitFact(name=name, text=text, whose=words.whose(together))


def _duration(span: timedelta | None) -> str:
    return "" if span is None else words.duration(span)


def _example_path(routes: Iterable[RouteSettings]) -> str:
    """Return a path that can be asked for as it stands, in the quotes of any language."""
    for route in routes:
        path = route.path.removesuffix("/**") or "/"
        readable = not route.methods or "GET" in route.methods
        if route.auth == "required" and readable and _PLAIN.issuperset(path):
            return path
    return "/"
