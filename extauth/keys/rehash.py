"""Brings hashes up to date: one made under other costs is replaced when its secret comes by."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from extauth.clock import Clock, from_us
from extauth.errors import ExtauthError
from extauth.keys.hashing import SecretHasher
from extauth.model import ApiKey
from extauth.stores.base import AuditEntry, KeyStore

# What happens by itself has this actor in the audit log.
SERVER = "server"


class Rehasher:
    """Rehashes off the check's path; what fails is tried again when the key is verified next."""

    def __init__(self, store: KeyStore, hasher: SecretHasher, clock: Clock) -> None:
        self._store = store
        self._hasher = hasher
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def look(self, key: ApiKey, secret: str) -> None:
        """Start to rehash a verified secret if its hash is out of date. One task a key at most."""
        if key.key_id in self._tasks or not self._hasher.is_outdated(key.hashed_key):
            return
        task = self._tasks[key.key_id] = asyncio.create_task(self._rehash(key, secret))
        task.add_done_callback(lambda _: self._tasks.pop(key.key_id, None))

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _rehash(self, verified: ApiKey, secret: str) -> None:
        try:
            hashed = await self._hasher.hash(secret)
            key = await self._store.get(verified.key_id)
            if key is None or key.hashed_key != verified.hashed_key:
                return
            entry = AuditEntry(
                at=from_us(self._clock.now_us()),
                actor=SERVER,
                source=SERVER,
                action="key.rehashed",
                key_id=key.key_id,
            )
            await self._store.save(replace(key, hashed_key=hashed, version=key.version + 1), entry)
        except ExtauthError as error:
            log = structlog.get_logger("extauth.keys")
            log.warning("rehash_failed", key_id=verified.key_id, problem=str(error))
