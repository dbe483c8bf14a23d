"""Keeps the audit log within its retention: the only way in which entries go by themselves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from extauth.clock import Clock, from_us
from extauth.errors import StoreError
from extauth.stores.base import KeyStore

TRIM_EVERY_SECONDS = 3_600.0


class AuditTrimming:
    """Forgets entries that are older than the retention."""

    def __init__(self, store: KeyStore, clock: Clock, retention: timedelta) -> None:
        self._store = store
        self._clock = clock
        # May change while the server runs.
        self.retention = retention

    async def trim(self) -> int:
        """Forget what is too old; return how much that was. Raises StoreError."""
        return await self._store.trim_audit(from_us(self._clock.now_us()) - self.retention)

    async def run(self) -> None:
        """Trim until cancelled."""
        log = structlog.get_logger("extauth.keys")
        while True:
            try:
                trimmed = await self.trim()
            except StoreError as error:
                log.warning("audit_not_trimmed", problem=str(error))
            else:
                if trimmed:
                    log.info("audit_trimmed", entries=trimmed)
            await asyncio.sleep(TRIM_EVERY_SECONDS)
