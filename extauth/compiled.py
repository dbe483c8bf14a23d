"""What settings come to: routes, plans, dialects, and what explains them.

A server and the command line make the same of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from extauth.clock import Clock
from extauth.dialects.answers import AnswerWriter
from extauth.dialects.base import Dialect
from extauth.dialects.envoy import EnvoyDialect
from extauth.dialects.forward import ForwardDialect
from extauth.dialects.headers import HeaderWriter
from extauth.dialects.nginx import NginxDialect
from extauth.dialects.problems import ProblemWriter
from extauth.dialects.requests import RequestReader
from extauth.limits.plan import PLAIN_CHARGE, Charge, Planner
from extauth.reporting.explain import Explainer, rule_of
from extauth.reporting.standing import KeyLimits
from extauth.routes import Access, Route, RouteTable
from extauth.settings.model import Settings
from extauth.settings.routing import parse_own_limits
from extauth.stores.base import KeyStore
from extauth.stores.states import LimitStates

_DIALECTS = (EnvoyDialect, NginxDialect, ForwardDialect)
DIALECTS = tuple(dialect.name for dialect in _DIALECTS)

_DEFAULT_ACCESS = {"authenticate": Access.REQUIRED, "deny": Access.DENIED, "allow": Access.NONE}


def planner(settings: Settings) -> Planner:
    """Return what knows who takes which limits."""
    tiers = {name: tier.to_all_limits() for name, tier in settings.tiers.items()}
    common, anonymous = settings.limits.to_common(), settings.limits.to_anonymous()
    return Planner(tiers, parse_own=parse_own_limits, common=common, anonymous=anonymous)


def header_writer(settings: Settings, clock: Clock) -> HeaderWriter:
    """Return what writes header lines."""
    epoch = settings.headers.reset == "epoch"
    return HeaderWriter(realm=settings.credentials.realm, epoch_reset=epoch, clock=clock)


def answer_writer(settings: Settings, clock: Clock) -> AnswerWriter:
    """Return what writes all that dialects say alike."""
    return AnswerWriter(
        header_writer(settings, clock),
        ProblemWriter(docs_url=settings.docs_url),
        security=settings.headers.security,
    )


def dialects(settings: Settings, clock: Clock) -> tuple[Dialect, ...]:
    """Return what speaks with each proxy."""
    reader = RequestReader(
        trusted_hops=settings.proxy.trusted_hops, query_parameter=settings.credentials.query_parameter
    )
    writer = answer_writer(settings, clock)
    return tuple(dialect(reader, writer) for dialect in _DIALECTS)


def _routes(settings: Settings) -> list[Route]:
    told_apart = settings.counts_routes_apart
    return [
        Route(
            name=route.label,
            access=Access(route.auth),
            template=route.path,
            methods=route.methods,
            hosts=route.hosts,
            scopes=route.scopes,
            charge=route.to_charge(told_apart=told_apart),
        )
        for route in settings.routes
    ]


def route_table(settings: Settings) -> RouteTable:
    """Compile the routes of the settings."""
    charge = Charge(route="default") if settings.counts_routes_apart else PLAIN_CHARGE
    default = Route(name="default", access=_DEFAULT_ACCESS[settings.default_route], charge=charge)
    return RouteTable(_routes(settings), default=default, methods=settings.proxy.methods)


def key_limits(
    settings: Settings,
    store: KeyStore,
    states: LimitStates,
    clock: Clock,
    *,
    on_reset: Callable[[Iterable[str]], None] = lambda _key_ids: None,
) -> KeyLimits:
    """Return what shows and resets the limits of keys."""
    return KeyLimits(
        store=store,
        planner=planner(settings),
        charges=[route.to_charge() for route in settings.routes],
        states=states,
        clock=clock,
        writer=header_writer(settings, clock),
        on_reset=on_reset,
    )


def explainer(settings: Settings, store: KeyStore, states: LimitStates, clock: Clock) -> Explainer:
    """Return what explains requests."""
    return Explainer(
        routes=route_table(settings),
        methods=settings.proxy.methods,
        rules={rule_of(route) for route in _routes(settings)},
        store=store,
        planner=planner(settings),
        states=states,
        dialects=dialects(settings, clock),
        writer=header_writer(settings, clock),
        clock=clock,
        abuse=settings.abuse.to_rules(),
    )
