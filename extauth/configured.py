"""What one version of the settings comes to: all that is made anew when they change.

It is made on the parts that outlive a change: what was verified, counted and stored stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from extauth.abuse.monitor import AbuseMonitor
from extauth.abuse.service import BanService
from extauth.admin.access import KeyGate
from extauth.admin.authentication import Authenticator
from extauth.admin.counts import AdminCounts
from extauth.admin.endpoint import Services
from extauth.callers import Caller, plans_without_key
from extauth.check import Checker
from extauth.clock import Clock
from extauth.compiled import dialects, explainer, key_limits, planner, route_table
from extauth.dashboard.access import Doorkeeper
from extauth.dashboard.app import Dashboard, DashboardParts
from extauth.dashboard.sessions import SessionCodec, Sessions
from extauth.dialects.base import Dialect
from extauth.docs.site import Site
from extauth.failure import FailureModes, FailurePolicy, Mode
from extauth.keys.directory import KeyDirectory
from extauth.keys.idempotency import RepeatableCreation
from extauth.keys.rules import KeyRules
from extauth.keys.uses import UseTracker
from extauth.limits.plan import Planner
from extauth.management import KeyManagement, key_rules
from extauth.model import ApiKey
from extauth.settings.model import FailureSettings, Settings
from extauth.stores.limits import Queue, SharedLimitStore
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.states import LocalLimits
from extauth.stores.usage import UsageStore
from extauth.telemetry.reloads import ReloadCounts
from extauth.throttle.claims import Claims
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.leases import Leases
from extauth.usage.service import UsageService


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What outlives a change of the settings. Limits are counted in `shared`, else in `limits`.

    `without_store` holds what this server gave out on its own while the shared store was gone. `leases` are
    where the limits are; checks wait in the `queue` for those of this process.
    """

    management: KeyManagement
    keys: KeyDirectory[Caller]
    uses: UseTracker
    usage: UsageStore
    limits: MemoryLimitStore
    shared: SharedLimitStore | None
    without_store: MemoryLimitStore
    leases: Leases
    queue: Queue | None
    claims: Claims
    ends: LeaseCounts
    abuse: AbuseMonitor
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """Everything that follows from one version of the settings. `compile` is for records of keys.

    `recompile` makes a caller that was compiled under other settings one of these.
    """

    settings: Settings
    compile: Callable[[ApiKey], Caller]
    recompile: Callable[[Caller], Caller]
    checker: Checker
    dialects: tuple[Dialect, ...]
    key_rules: KeyRules
    gate: KeyGate
    services: Services
    docs: Site


def configure(settings: Settings, parts: Parts) -> Configured:
    """Work out what follows from these settings. It changes nothing, so that another thread may do it."""
    plans = planner(settings)

    def recompile(former: Caller) -> Caller:
        caller = Caller(former.key, plans)
        # That the store confirmed the key has nothing to do with the settings.
        caller.confirmed_us = former.confirmed_us
        return caller

    return Configured(
        settings=settings,
        compile=compiler(plans),
        recompile=recompile,
        checker=_checker(settings, parts, plans, recompile),
        dialects=dialects(settings, parts.clock),
        key_rules=key_rules(settings),
        gate=KeyGate(authenticator(parts), realm=settings.credentials.realm),
        services=_services(settings, parts),
        docs=Site(settings),
    )


def compiler(plans: Planner) -> Callable[[ApiKey], Caller]:
    """Return what makes a record ready for checks."""
    return lambda record: Caller(record, plans)


def authenticator(parts: Parts) -> Authenticator:
    """Return what recognises keys on the admin listener."""
    return Authenticator(keys=parts.keys, uses=parts.uses, clock=parts.clock, abuse=parts.abuse)


def dashboard(
    configured: Configured, parts: Parts, *, counts: AdminCounts, reloads: ReloadCounts
) -> Dashboard:
    """Return the dashboard. It is made once, and told of other settings."""
    management = parts.management
    sessions = Sessions(
        codec=SessionCodec(management.peppers.secrets),
        authenticator=authenticator(parts),
        store=management.store,
        clock=parts.clock,
        rules=configured.settings.dashboard,
    )
    made_of = DashboardParts(
        doorkeeper=Doorkeeper(sessions, configured.settings),
        store=management.store,
        reloads=reloads,
        counts=counts,
    )
    return Dashboard(made_of, configured.services)


def _checker(
    settings: Settings, parts: Parts, plans: Planner, recompile: Callable[[Caller], Caller]
) -> Checker:
    failure = FailurePolicy(_modes(settings.failure))
    failure.local = parts.without_store
    return Checker(
        routes=route_table(settings),
        keys=parts.keys,
        limits=parts.limits,
        plans=plans_without_key(plans),
        clock=parts.clock,
        failure=failure,
        shared=parts.shared,
        leases=parts.leases,
        queue=parts.queue,
        claims=parts.claims,
        abuse=parts.abuse,
        deadline_seconds=settings.failure.deadline.total_seconds(),
        recompile=recompile,
    )


def _modes(failure: FailureSettings) -> FailureModes:
    return FailureModes(
        authentication=Mode(failure.authentication),
        limits=Mode(failure.limits),
        honour_us=failure.honour // timedelta(microseconds=1),
        # As it is written: 0.3 is a little less in binary, and of 10 requests that would be 2.
        share=Fraction(str(failure.share)),
    )


def _services(settings: Settings, parts: Parts) -> Services:
    service, store, clock = parts.management.service, parts.management.store, parts.clock
    states = parts.shared or LocalLimits(parts.limits, clock)
    return Services(
        service=service,
        creation=RepeatableCreation(service, store, clock),
        clock=clock,
        default_tier=settings.keys.default_tier,
        default_environment=settings.keys.default_environment,
        limits=key_limits(settings, store, states, clock, on_reset=service.on_change),
        explainer=explainer(settings, store, states, clock),
        shadowed=store,
        bans=BanService(store, clock),
        usage=UsageService(parts.usage, store, clock),
    )
