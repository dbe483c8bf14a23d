"""Which store a URL means: the one place that chooses, so that a new store is one more case here."""

from __future__ import annotations

from collections.abc import Callable

from extauth.clock import Clock
from extauth.settings.model import StoreSettings
from extauth.stores.base import KeyStore
from extauth.stores.facts import StoreFacts
from extauth.stores.limits import BucketArchive, SharedLimitStore
from extauth.stores.no_usage import NoUsage
from extauth.stores.sqlite import SqliteKeyStore
from extauth.stores.sqlite_archive import SqliteBucketArchive
from extauth.stores.sqlite_files import beside
from extauth.stores.sqlite_look import look_at_files
from extauth.stores.sqlite_states import ArchivedLimits, open_archived_limits
from extauth.stores.sqlite_usage import SqliteUsageStore
from extauth.stores.usage import UsageStore
from extauth.tasks import in_thread
from extauth.throttle.counts import LeaseCounts


async def open_key_store(settings: StoreSettings) -> KeyStore:
    """Open the key store. Raises StoreError."""
    if settings.is_embedded:
        store = SqliteKeyStore(settings.path)
        await store.open()
        return store
    # redis-py takes 0.15 s to import, for which nobody waits who has no Redis.
    from extauth.stores.redis.store import RedisKeyStore  # noqa: PLC0415 - see above

    shared = RedisKeyStore(settings)
    await shared.open()
    return shared


async def look_at_store(settings: StoreSettings, clock: Clock) -> StoreFacts:
    """Look at the store without changing anything. Raises StoreError."""
    if settings.is_embedded:
        return await in_thread(lambda: look_at_files(settings.path))
    from extauth.stores.redis.look import look_at_redis  # noqa: PLC0415 - see above

    return await look_at_redis(settings, clock)


async def open_shared_limits(
    settings: StoreSettings,
    clock: Clock,
    *,
    process: str,
    ends: LeaseCounts,
    deadline_seconds: float,
    on_change: Callable[[str], None],
) -> SharedLimitStore:
    """Open the limits that servers share; the names of all claims begin with `process`. Raises StoreError."""
    from extauth.stores.redis.limits.opening import open_limit_store  # noqa: PLC0415 - see above

    return await open_limit_store(
        settings, clock, process=process, ends=ends, deadline_seconds=deadline_seconds, on_change=on_change
    )


async def open_bucket_archive(settings: StoreSettings, *, patience_seconds: float = 0.0) -> BucketArchive:
    """Open the archive of the memory limit store, in a file beside the keys. Raises StoreError.

    Another server that counts in it is waited for that long.
    """
    archive = SqliteBucketArchive(beside(settings.path, "limits"))
    await archive.open(patience_seconds=patience_seconds)
    return archive


async def open_limit_states(
    settings: StoreSettings, clock: Clock, *, to_change: bool
) -> ArchivedLimits | SharedLimitStore:
    """Open what says how limits stand, from beside the servers that count. Raises StoreError."""
    if settings.is_embedded:
        return await open_archived_limits(beside(settings.path, "limits"), clock, to_change=to_change)
    patience = settings.timeout.total_seconds()
    return await open_shared_limits(
        settings,
        clock,
        process="",
        ends=LeaseCounts(),
        deadline_seconds=patience,
        on_change=lambda _trouble: None,
    )


async def open_usage_store(settings: StoreSettings, *, to_read: bool = False) -> UsageStore:
    """Open what keeps usage: a file beside the keys, or the Redis that holds them. Raises StoreError.

    Who only means `to_read` makes no file: it would belong to whoever looked.
    """
    if settings.is_embedded:
        path = beside(settings.path, "usage")
        if to_read and not path.exists():
            return NoUsage()
        embedded = SqliteUsageStore(path)
        await embedded.open()
        return embedded
    from extauth.stores.redis.usage import RedisUsageStore  # noqa: PLC0415 - see above

    shared = RedisUsageStore(settings)
    await shared.open()
    return shared
