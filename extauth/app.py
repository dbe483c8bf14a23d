"""The composition root: opens everything in order, closes it in reverse. Nothing else constructs services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

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
from extauth.health import Health
from extauth.keys.directory import CacheSizes, KeyDirectory
from extauth.keys.hashing import HashingParameters, SecretHasher
from extauth.keys.peppers import load_peppers
from extauth.keys.service import KeyService
from extauth.keys.token import Peppers
from extauth.keys.watcher import KeyWatcher
from extauth.limits.plan import Planner
from extauth.routes import Access, Route, RouteTable
from extauth.server.responder import Responder
from extauth.settings.model import Settings
from extauth.stores.base import KeyStore
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.open import open_bucket_archive, open_key_store
from extauth.stores.write_behind import WriteBehind
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder

_DEFAULT_ACCESS = {"authenticate": Access.REQUIRED, "deny": Access.DENIED, "allow": Access.NONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyManagement:
    """What the command line needs: keys and nothing that checks."""

    service: KeyService
    store: KeyStore
    hasher: SecretHasher
    peppers: Peppers


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


@asynccontextmanager
async def open_key_management(settings: Settings, *, clock: Clock) -> AsyncIterator[KeyManagement]:
    """Open the key store and what manages keys. Raises StoreError and ConfigError."""
    async with AsyncExitStack() as stack:
        store = await open_key_store(settings.store)
        stack.push_async_callback(store.close)
        hasher = _hasher(settings)
        stack.callback(hasher.close)
        peppers = load_peppers(
            given=[pepper.get_secret_value() for pepper in settings.keys.peppers],
            file=settings.keys.peppers_file,
            data_directory=settings.store.path.parent,
            store_is_empty=await store.count() == 0,
        )
        service = KeyService(
            store=store,
            hasher=hasher,
            peppers=peppers,
            clock=clock,
            prefix=settings.keys.prefix,
            secret_length=settings.keys.secret_length,
            tiers=settings.tiers.keys(),
            environments=settings.keys.environments,
        )
        yield KeyManagement(service=service, store=store, hasher=hasher, peppers=peppers)


@asynccontextmanager
async def open_app(
    settings: Settings, *, lines: LineWriter, clock: Clock | None = None
) -> AsyncIterator[App]:
    """Open a server's parts, with the tasks that keep them current. Raises StoreError and ConfigError."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        health = Health("keys", "limits", on_change=_log_change)
        management = await stack.enter_async_context(open_key_management(settings, clock=clock))
        keys = _key_directory(settings, management, clock)
        await _watch_keys(stack, management.store, keys, health)
        limits = MemoryLimitStore()
        await _keep_limits(stack, settings, limits, clock, health)
        counts = CheckCounts(dialect.name for dialect in (EnvoyDialect, NginxDialect))
        recorder = Recorder(
            counts=counts,
            lines=lines,
            clock=clock,
            level=settings.log.level,
            allowed_sample=settings.log.allowed_sample,
        )
        lines.add_source(recorder.flush)
        checker = Checker(routes=route_table(settings), keys=keys, limits=limits, clock=clock)
        responder = Responder(
            checker=checker, dialects=_dialects(settings, clock), recorder=recorder, clock=clock
        )
        yield App(
            settings=settings,
            responder=responder,
            health=health,
            recorder=recorder,
            counts=counts,
            hasher=management.hasher,
            limits=limits,
        )


def _hasher(settings: Settings) -> SecretHasher:
    hashing = settings.keys.hashing
    parameters = HashingParameters(
        memory_kib=hashing.memory_kib, time_cost=hashing.time_cost, parallelism=hashing.parallelism
    )
    return SecretHasher(parameters, workers=hashing.workers, queue=hashing.queue)


def _key_directory(settings: Settings, management: KeyManagement, clock: Clock) -> KeyDirectory[Caller]:
    planner = Planner(
        {name: tuple(rate.to_limit() for rate in tier.rates) for name, tier in settings.tiers.items()}
    )
    cache = settings.keys.cache
    return KeyDirectory(
        store=management.store,
        peppers=management.peppers,
        hasher=management.hasher,
        clock=clock,
        compile_entry=lambda record: Caller(record, planner),
        sizes=CacheSizes(verified=cache.verified, records=cache.records, rejected=cache.rejected),
    )


async def _watch_keys(
    stack: AsyncExitStack, store: KeyStore, keys: KeyDirectory[Caller], health: Health
) -> None:
    watcher = KeyWatcher(
        store,
        forget=keys.forget,
        forget_all=keys.forget_all,
        on_failure=lambda error: health.report("keys", str(error)),
        on_success=lambda: health.report("keys"),
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
