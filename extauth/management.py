"""The part of the composition root that manages keys: all that the command line needs, and no web stack.

A server opens the same, and more around it: see `app.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from extauth.clock import Clock
from extauth.keys.asked import KeyPolicy
from extauth.keys.hashing import HashingParameters, SecretHasher
from extauth.keys.peppers import load_peppers
from extauth.keys.rules import KeyRules
from extauth.keys.service import KeyService
from extauth.keys.token import Peppers
from extauth.settings.model import Settings, StoreSettings
from extauth.settings.routing import parse_own_limits
from extauth.stores import open as opening
from extauth.stores.base import KeyStore
from extauth.stores.facts import StoreFacts
from extauth.stores.open import open_key_store, open_usage_store
from extauth.stores.states import LimitStates
from extauth.stores.usage import UsageStore


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyManagement:
    """What the command line needs: keys and nothing that checks."""

    service: KeyService
    store: KeyStore
    hasher: SecretHasher
    peppers: Peppers


@asynccontextmanager
async def open_store(settings: StoreSettings) -> AsyncIterator[KeyStore]:
    """Open a key store and nothing else: moving records needs no pepper. Raises StoreError."""
    store = await open_key_store(settings)
    try:
        yield store
    finally:
        await store.close()


async def look_at_store(settings: StoreSettings, *, clock: Clock) -> StoreFacts:
    """Look at the store without changing anything, not even to make its file. Raises StoreError."""
    return await opening.look_at_store(settings, clock)


@asynccontextmanager
async def open_limit_states(
    settings: StoreSettings, *, clock: Clock, to_change: bool = False
) -> AsyncIterator[LimitStates]:
    """Open what says how limits stand. Raises StoreError, also where a running server alone may change it."""
    states = await opening.open_limit_states(settings, clock, to_change=to_change)
    try:
        yield states
    finally:
        await states.close()


@asynccontextmanager
async def open_usage(settings: StoreSettings, *, to_read: bool = False) -> AsyncIterator[UsageStore]:
    """Open what keeps usage; who only means `to_read` makes no file. Raises StoreError."""
    store = await open_usage_store(settings, to_read=to_read)
    try:
        yield store
    finally:
        await store.close()


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
            data_directory=None if store.is_shared else settings.store.path.parent,
            store_is_empty=await store.count() == 0,
        )
        service = KeyService(
            store=store,
            hasher=hasher,
            peppers=peppers,
            clock=clock,
            prefix=settings.keys.prefix,
            secret_length=settings.keys.secret_length,
            rules=key_rules(settings),
        )
        yield KeyManagement(service=service, store=store, hasher=hasher, peppers=peppers)


def key_rules(settings: Settings) -> KeyRules:
    """Return what keys may be under these settings."""
    keys = settings.keys
    policy = KeyPolicy(
        default_lifetime=keys.default_lifetime,
        longest_lifetime=keys.longest_lifetime,
        default_grace=keys.default_grace,
        longest_grace=keys.longest_grace,
        keys_per_user=keys.per_user,
        tier_scopes={name: tier.scopes for name, tier in settings.tiers.items() if tier.scopes},
    )
    return KeyRules(
        tiers=settings.tiers.keys(),
        environments=keys.environments,
        policy=policy,
        parse_limits=parse_own_limits,
    )


def _hasher(settings: Settings) -> SecretHasher:
    hashing = settings.keys.hashing
    parameters = HashingParameters(
        memory_kib=hashing.memory_kib, time_cost=hashing.time_cost, parallelism=hashing.parallelism
    )
    return SecretHasher(parameters, workers=hashing.workers, queue=hashing.queue)
