"""The composition root of a server: opens everything in order, closes it in reverse.

Nothing else constructs services, but for the part of it that manages keys: `management.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from extauth.admin.access import Gate
from extauth.admin.api import AdminApi
from extauth.admin.endpoint import Services
from extauth.callers import Caller
from extauth.check import Checker
from extauth.clock import Clock, SystemClock
from extauth.dialects.answers import AnswerWriter
from extauth.dialects.base import Dialect
from extauth.dialects.envoy import EnvoyDialect
from extauth.dialects.headers import HeaderWriter
from extauth.dialects.nginx import NginxDialect
from extauth.dialects.problems import ProblemWriter
from extauth.dialects.requests import RequestReader
from extauth.errors import StoreError
from extauth.health import Health
from extauth.keys.audit import AuditTrimming
from extauth.keys.directory import CacheSizes, KeyDirectory
from extauth.keys.hashing import SecretHasher
from extauth.keys.idempotency import RepeatableCreation
from extauth.keys.presented import TextReader
from extauth.keys.records import KeyRecords
from extauth.keys.rehash import Rehasher
from extauth.keys.service import KeyService
from extauth.keys.uses import UseTracker
from extauth.keys.watcher import KeyWatcher, StoreProbe
from extauth.limits.plan import Planner
from extauth.management import KeyManagement, open_key_management
from extauth.model import ApiKey
from extauth.routes import Access, Route, RouteTable
from extauth.server.responder import Responder
from extauth.settings.model import Settings
from extauth.settings.routing import parse_own_limits
from extauth.stores.base import KeyStore
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.open import open_bucket_archive
from extauth.stores.write_behind import WriteBehind
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder

_DEFAULT_ACCESS = {"authenticate": Access.REQUIRED, "deny": Access.DENIED, "allow": Access.NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that a running server consists of, opened and ready."""

    settings: Settings
    responder: Responder
    health: Health
    recorder: Recorder
    counts: CheckCounts
    hasher: SecretHasher
    limits: MemoryLimitStore
    uses: UseTracker
    keys: KeyService
    admin: AdminApi


@asynccontextmanager
async def open_app(
    settings: Settings, *, lines: LineWriter, clock: Clock | None = None
) -> AsyncIterator[App]:
    """Open a server's parts, with the tasks that keep them current. Raises StoreError and ConfigError."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        health = Health("keys", "limits", on_change=_log_change)
        management = await stack.enter_async_context(open_key_management(settings, clock=clock))
        limits = MemoryLimitStore()
        if management.store.is_shared:
            health.report("limits")  # counted in this process alone
        else:
            # Before all else, because it is what refuses a second server on the same file.
            await _keep_limits(stack, settings, limits, clock, health)
        keys, uses = await _open_keys(stack, settings, management, clock, health)
        counts = CheckCounts(dialect.name for dialect in (EnvoyDialect, NginxDialect))
        recorder = Recorder(
            counts=counts,
            lines=lines,
            clock=clock,
            level=settings.log.level,
            allowed_sample=settings.log.allowed_sample,
            uses=uses,
        )
        # Decisions that are noted and not yet counted count as uses too.
        stack.callback(recorder.flush)
        lines.add_source(recorder.flush)
        responder = _responder(settings, keys, limits, recorder, clock)
        yield App(
            settings=settings,
            responder=responder,
            health=health,
            recorder=recorder,
            counts=counts,
            hasher=management.hasher,
            limits=limits,
            uses=uses,
            keys=management.service,
            admin=_admin_api(settings, management, keys, uses, clock),
        )


def _responder(
    settings: Settings,
    keys: KeyDirectory[Caller],
    limits: MemoryLimitStore,
    recorder: Recorder,
    clock: Clock,
) -> Responder:
    checker = Checker(routes=route_table(settings), keys=keys, limits=limits, clock=clock)
    return Responder(checker=checker, dialects=_dialects(settings, clock), recorder=recorder, clock=clock)


def _admin_api(
    settings: Settings,
    management: KeyManagement,
    keys: KeyDirectory[Caller],
    uses: UseTracker,
    clock: Clock,
) -> AdminApi:
    gate = Gate(keys=keys, uses=uses, clock=clock, realm=settings.credentials.realm)
    services = Services(
        service=management.service,
        creation=RepeatableCreation(management.service, management.store, clock),
        clock=clock,
        default_tier=settings.keys.default_tier,
        default_environment=settings.keys.default_environment,
    )
    return AdminApi(gate=gate, services=services)


async def _open_keys(
    stack: AsyncExitStack, settings: Settings, management: KeyManagement, clock: Clock, health: Health
) -> tuple[KeyDirectory[Caller], UseTracker]:
    """Open what recognises keys, and the tasks that look after their records."""
    store = management.store
    structlog.get_logger("extauth.keys").info("store_opened", durability=await store.durability())
    records = _key_records(settings, store)
    management.service.on_change = records.forget
    await _watch_keys(stack, store, records, health)
    rehasher = Rehasher(store, management.hasher, clock)
    stack.push_async_callback(rehasher.close)
    uses = UseTracker(store)
    stack.push_async_callback(uses.close)
    stack.push_async_callback(_stop, asyncio.create_task(uses.run()))
    trimming = AuditTrimming(store, clock, settings.audit.retention)
    stack.push_async_callback(_stop, asyncio.create_task(trimming.run()))
    return _key_directory(settings, management, records, clock, rehasher.look), uses


def _key_records(settings: Settings, store: KeyStore) -> KeyRecords[Caller]:
    planner = Planner(
        {name: tier.to_limits() for name, tier in settings.tiers.items()}, parse_own=parse_own_limits
    )
    return KeyRecords(store, lambda record: Caller(record, planner), size=settings.keys.cache.records)


def _key_directory(
    settings: Settings,
    management: KeyManagement,
    records: KeyRecords[Caller],
    clock: Clock,
    on_verified: Callable[[ApiKey, str], None],
) -> KeyDirectory[Caller]:
    keys = settings.keys
    return KeyDirectory(
        records=records,
        reader=TextReader(management.peppers, imported=keys.imported, untagged=keys.accept_untagged),
        hasher=management.hasher,
        clock=clock,
        sizes=CacheSizes(verified=keys.cache.verified, rejected=keys.cache.rejected),
        on_verified=on_verified,
    )


async def _watch_keys(
    stack: AsyncExitStack, store: KeyStore, records: KeyRecords[Caller], health: Health
) -> None:
    def failed(error: StoreError) -> None:
        health.report("keys", str(error))

    def works() -> None:
        health.report("keys")

    watcher: KeyWatcher | StoreProbe
    if store.is_shared:
        watcher = StoreProbe(store, on_failure=failed, on_success=works)
    else:
        watcher = KeyWatcher(
            store,
            forget=records.forget,
            forget_all=records.forget_all,
            on_failure=failed,
            on_success=works,
        )
    await watcher.look()
    stack.push_async_callback(_stop, asyncio.create_task(watcher.run()))


async def _keep_limits(
    stack: AsyncExitStack, settings: Settings, limits: MemoryLimitStore, clock: Clock, health: Health
) -> None:
    archive = await open_bucket_archive(settings.store)
    write_behind = WriteBehind(
        limits,
        archive,
        clock,
        on_failure=lambda error: health.report("limits", str(error)),
        on_success=lambda: health.report("limits"),
    )
    stack.push_async_callback(write_behind.close)
    await write_behind.restore()
    health.report("limits")
    stack.push_async_callback(_stop, asyncio.create_task(write_behind.run()))


def _dialects(settings: Settings, clock: Clock) -> tuple[Dialect, ...]:
    reader = RequestReader(
        trusted_hops=settings.proxy.trusted_hops, query_parameter=settings.credentials.query_parameter
    )
    headers = HeaderWriter(
        realm=settings.credentials.realm, epoch_reset=settings.headers.reset == "epoch", clock=clock
    )
    writer = AnswerWriter(headers, ProblemWriter(docs_url=settings.docs_url))
    return (EnvoyDialect(reader, writer), NginxDialect(reader, writer))


def route_table(settings: Settings) -> RouteTable:
    """Compile the routes of the settings."""
    routes = [
        Route(
            name=route.name or route.path,
            access=Access(route.auth),
            template=route.path,
            methods=route.methods,
            hosts=route.hosts,
            scopes=route.scopes,
        )
        for route in settings.routes
    ]
    default = Route(name="default", access=_DEFAULT_ACCESS[settings.default_route])
    return RouteTable(routes, default=default, methods=settings.proxy.methods)


def _log_change(part: str, problem: str) -> None:
    log = structlog.get_logger("extauth.health")
    if problem:
        log.error("part_failed", part=part, problem=problem)
    else:
        log.info("part_works", part=part)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
