"""Makes the limit store that a URL means, and connects it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence

from redis.exceptions import RedisError

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.settings.model import StoreSettings
from extauth.stores.limits import SharedLimitStore
from extauth.stores.redis.connect import connect, credentials, sentinel_of
from extauth.stores.redis.limits.cluster import ClusterLimitStore
from extauth.stores.redis.limits.node import Address, Dialling, Node
from extauth.stores.redis.limits.store import (
    RedisLimitStore,
    end_program,
    errand_program,
    take_program,
)
from extauth.stores.redis.link import RedisLink
from extauth.throttle.counts import LeaseCounts


async def open_limit_store(
    settings: StoreSettings,
    clock: Clock,
    *,
    process: str,
    ends: LeaseCounts,
    deadline_seconds: float,
    on_change: Callable[[str], None],
) -> SharedLimitStore:
    """Connect to the Redis of the settings. Raises StoreError.

    `process` is how the names of all claims begin that are made here; `ends` counts how leases end.
    `on_change` hears why Redis is not asked for a while, and with an empty text that it is again.
    """
    url = settings.redis

    def dialling(locate: Callable[[], Awaitable[Address]]) -> Dialling:
        return Dialling(
            where=str(url),
            locate=locate,
            greeting=lambda: _greeting(settings),
            programs=(take_program(), errand_program(), end_program()),
            tls=_tls(settings) if url.tls else None,
            deadline_seconds=deadline_seconds,
        )

    store: RedisLimitStore | ClusterLimitStore
    if url.kind == "cluster":
        link = RedisLink(connect(settings), timeout_seconds=settings.timeout.total_seconds())
        store = ClusterLimitStore(
            link,
            dialling,
            clock,
            process=process,
            ends=ends,
            deadline_seconds=deadline_seconds,
            on_change=on_change,
        )
    else:
        there = dialling(_locator(settings))
        store = RedisLimitStore(Node(there, on_change), clock, dialling=there, process=process, ends=ends)
    return await _opened(store)


async def _opened(store: RedisLimitStore | ClusterLimitStore) -> SharedLimitStore:
    try:
        await store.open()
    except BaseException:
        await store.close()
        raise
    return store


def _locator(settings: StoreSettings) -> Callable[[], Awaitable[Address]]:
    url = settings.redis
    if url.kind != "sentinel":
        ((host, port),) = url.hosts

        async def there() -> Address:
            return host, port

        return there
    sentinel = sentinel_of(settings)

    async def master() -> Address:
        try:
            address: Address = await sentinel.discover_master(url.service)
        except RedisError as error:
            raise StoreError(f"no Sentinel knows the master: {error}") from error
        finally:
            # They are asked for new connections only: nothing is kept open to them meanwhile, or at the end.
            await asyncio.gather(*(one.aclose() for one in sentinel.sentinels))
        return address

    return master


def _greeting(settings: StoreSettings) -> Sequence[Sequence[str]]:
    """Return what a new connection says first: the password is read each time, so that it may change."""
    url = settings.redis
    greeting: list[Sequence[str]] = []
    if (who := credentials(settings)) is not None:
        greeting.append(("AUTH", *who.get_credentials()))
    if url.database:
        greeting.append(("SELECT", str(url.database)))
    return greeting


def _tls(settings: StoreSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.certificate_file is not None:
        context.load_cert_chain(settings.certificate_file, settings.private_key_file)
    return context
