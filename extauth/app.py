"""The composition root of a server: opens everything in order, closes it in reverse.

Nothing else constructs services, but for two parts of it: what manages keys is made in `management.py`, and
what follows from the settings, and changes with them, in `configured.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from extauth.abuse.keeper import BanKeeper
from extauth.abuse.monitor import AbuseMonitor
from extauth.admin.api import AdminApi
from extauth.callers import Caller
from extauth.clock import Clock, SystemClock
from extauth.compiled import planner
from extauth.completion.signals import Counters
from extauth.configured import Configured, Parts, compiler, configure, dashboard
from extauth.dashboard.app import Dashboard
from extauth.docs.serving import ConsumerDocs
from extauth.errors import StoreError
from extauth.health import Health, log_change
from extauth.keys.audit import AuditTrimming
from extauth.keys.directory import CacheSizes, KeyDirectory
from extauth.keys.hashing import SecretHasher
from extauth.keys.presented import TextReader
from extauth.keys.records import KeyRecords
from extauth.keys.rehash import Rehasher
from extauth.keys.service import KeyService
from extauth.keys.uses import UseTracker
from extauth.keys.watcher import KeyWatcher, StoreProbe
from extauth.management import KeyManagement, open_key_management, open_usage
from extauth.recording import Recording, open_recording, running
from extauth.server.process import spawn
from extauth.server.responder import Responder
from extauth.settings.model import Settings
from extauth.stores.base import KeyStore
from extauth.stores.limits import SharedLimitStore
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.open import open_bucket_archive, open_shared_limits
from extauth.stores.write_behind import WriteBehind
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.metrics import CheckCounts
from extauth.telemetry.recorder import Recorder
from extauth.telemetry.reloads import ReloadCounts
from extauth.tending import tend
from extauth.throttle.claims import Claims
from extauth.throttle.counts import LeaseCounts
from extauth.throttle.leases import Leases
from extauth.throttle.opening import open_leases
from extauth.throttle.releases import Releases


@dataclass(slots=True, kw_only=True)
class App:
    """Everything that a running server consists of, opened and ready.

    `settings` are those in force; what becomes of others is in `reload.py`.
    """

    settings: Settings
    parts: Parts
    responder: Responder
    health: Health
    recorder: Recorder
    counts: CheckCounts
    hasher: SecretHasher
    limits: MemoryLimitStore
    leases: Leases
    uses: UseTracker
    keys: KeyService
    records: KeyRecords[Caller]
    trimming: AuditTrimming
    admin: AdminApi
    dashboard: Dashboard
    docs: ConsumerDocs
    reloads: ReloadCounts
    releases: Releases
    signals: Counters
    traced: Counter[str]


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    lines: LineWriter,
    clock: Clock | None = None,
    trims_audit: bool = True,
    patience_seconds: float = 0.0,
) -> AsyncIterator[App]:
    """Open a server's parts, with the tasks that keep them current. Raises StoreError and ConfigError.

    Of several processes on one store one is enough that `trims_audit`: that keeps the audit log within its
    retention, and has all keys found by a search. An embedded store that another server is about to let go of
    is waited for that long.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        health = Health("keys", "limits", advisory=("config",), on_change=log_change)
        management = await stack.enter_async_context(open_key_management(settings, clock=clock))
        claims, ends = Claims(), LeaseCounts()
        limits = MemoryLimitStore()
        if settings.store.is_embedded:
            await _keep_limits(stack, settings, limits, clock, health, patience_seconds=patience_seconds)
        shared = await _open_shared_limits(stack, settings, clock, health, claims=claims, ends=ends)
        records = await _open_records(stack, settings, management.store, health, shared)
        management.service.on_change = records.forget
        leases, queue, without_store = open_leases(stack, limits, shared, clock=clock, counts=ends)
        abuse = await _keep_bans(stack, settings, management.store, clock)
        parts = Parts(
            management=management,
            keys=_key_directory(stack, settings, management, records, abuse, clock=clock),
            uses=running(stack, UseTracker(management.store)),
            usage=await stack.enter_async_context(open_usage(settings.store)),
            limits=limits,
            shared=shared,
            without_store=without_store,
            leases=leases,
            queue=queue,
            claims=claims,
            ends=ends,
            abuse=abuse,
            clock=clock,
        )
        recording = open_recording(stack, settings, lines, parts)
        trimming = tend(stack, settings, management.store, clock, alone=trims_audit)
        yield _put_together(settings, parts, health, recording, records=records, trimming=trimming)


def _put_together(
    settings: Settings,
    parts: Parts,
    health: Health,
    recording: Recording,
    *,
    records: KeyRecords[Caller],
    trimming: AuditTrimming,
) -> App:
    recorder = recording.recorder
    # Held by nobody else: it is gone once other settings are in force.
    made = configure(settings, parts)
    admin, reloads = AdminApi(gate=made.gate, services=made.services), ReloadCounts(parts.clock)
    return App(
        settings=settings,
        parts=parts,
        responder=_responder(settings, parts, made, recording),
        health=health,
        recorder=recorder,
        counts=recording.counts,
        hasher=parts.management.hasher,
        limits=parts.limits,
        leases=parts.leases,
        uses=parts.uses,
        keys=parts.management.service,
        records=records,
        trimming=trimming,
        admin=admin,
        dashboard=dashboard(made, parts, counts=admin.counts, reloads=reloads),
        reloads=reloads,
        docs=ConsumerDocs(made.docs),
        releases=Releases(
            parts.leases, on_upstream=None if recorder.usage is None else recorder.usage.see_upstream
        ),
        signals=Counters(),
        traced=recording.tracing.checks,
    )


def _responder(settings: Settings, parts: Parts, made: Configured, recording: Recording) -> Responder:
    return recording.tracing.responder(
        checker=made.checker,
        dialects=made.dialects,
        recorder=recording.recorder,
        clock=parts.clock,
        max_checks=settings.throttle.max_checks,
        queued=lambda: parts.leases.waiting,
    )


async def _open_records(
    stack: AsyncExitStack,
    settings: Settings,
    store: KeyStore,
    health: Health,
    shared: SharedLimitStore | None,
) -> KeyRecords[Caller]:
    """Open what knows the records of keys, and the task that keeps it current."""
    structlog.get_logger("extauth.keys").info("store_opened", durability=await store.durability())
    records = KeyRecords(
        store,
        compiler(planner(settings)),
        size=settings.keys.cache.records,
        # Limits are asked for all the time, and in the same Redis.
        trouble=lambda: "" if shared is None else shared.trouble,
    )
    await _watch_keys(stack, store, records, health)
    return records


def _key_directory(
    stack: AsyncExitStack,
    settings: Settings,
    management: KeyManagement,
    records: KeyRecords[Caller],
    abuse: AbuseMonitor,
    *,
    clock: Clock,
) -> KeyDirectory[Caller]:
    keys = settings.keys
    rehasher = Rehasher(management.store, management.hasher, clock)
    stack.push_async_callback(rehasher.close)
    return KeyDirectory(
        records=records,
        reader=TextReader(management.peppers, imported=keys.imported, untagged=keys.accept_untagged),
        hasher=management.hasher,
        clock=clock,
        sizes=CacheSizes(verified=keys.cache.verified, rejected=keys.cache.rejected),
        on_verified=rehasher.look,
        guard=abuse,
    )


async def _keep_bans(
    stack: AsyncExitStack, settings: Settings, store: KeyStore, clock: Clock
) -> AbuseMonitor:
    abuse = AbuseMonitor(settings.abuse.to_rules())
    keeper = BanKeeper(store, abuse, clock)
    # Who is banned already is so from the first check on.
    await keeper.look()
    stack.push_async_callback(keeper.close)
    spawn(stack, keeper.run())
    return abuse


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
    spawn(stack, watcher.run())


async def _keep_limits(
    stack: AsyncExitStack,
    settings: Settings,
    limits: MemoryLimitStore,
    clock: Clock,
    health: Health,
    *,
    patience_seconds: float,
) -> None:
    """Count in this process. Before all else, because it is what refuses a second server on the same file."""
    archive = await open_bucket_archive(settings.store, patience_seconds=patience_seconds)
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
    spawn(stack, write_behind.run())


async def _open_shared_limits(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    health: Health,
    *,
    claims: Claims,
    ends: LeaseCounts,
) -> SharedLimitStore | None:
    """Open the limits in the store that servers share, if that is one."""
    if settings.store.is_embedded:
        return None
    shared = await open_shared_limits(
        settings.store,
        clock,
        process=claims.process,
        ends=ends,
        deadline_seconds=settings.failure.deadline.total_seconds(),
        on_change=lambda trouble: health.report("limits", trouble),
    )
    stack.push_async_callback(shared.close)
    health.report("limits")
    return shared
