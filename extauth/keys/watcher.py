"""Notices what other processes do to keys, so that their revocations hold in a running server.

With a shared store each check notices by itself; there only whether the store answers is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from extauth.errors import StoreError
from extauth.stores.base import KeyChanges, KeyStore

# Two looks fit into the 0.1 s in which a change must be noticed.
LOOK_EVERY_SECONDS = 0.05
LATE_AFTER_SECONDS = 0.1
PROBE_EVERY_SECONDS = 1.0
# An id that no key has: it is a digit short.
_NOBODY = "00000000000"


class KeyWatcher:
    """Asks the store again and again what has changed, and has the changed keys forgotten.

    While the store doesn't answer nobody knows what has changed. Then everything is forgotten, so that each
    check asks the store itself and fails as the store fails, instead of trusting what may be out of date.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        forget: Callable[[Iterable[str]], None],
        forget_all: Callable[[], None],
        on_failure: Callable[[StoreError], None],
        on_success: Callable[[], None],
    ) -> None:
        self._store = store
        self._forget = forget
        self._forget_all = forget_all
        self._on_failure = on_failure
        self._on_success = on_success
        self._cursor: int | None = None

    async def look(self) -> None:
        """Look once."""
        try:
            changes = await self._ask()
        except Exception as error:  # noqa: BLE001 - nobody knows what has changed, and the next look must come
            self._forget_all()
            self._on_failure(error if isinstance(error, StoreError) else StoreError(repr(error)))
            return
        if self._cursor is None:
            # What was loaded before the first answer may have changed unnoticed.
            self._forget_all()
        elif changes.key_ids:
            self._forget(changes.key_ids)
        self._cursor = changes.cursor
        self._on_success()

    async def _ask(self) -> KeyChanges:
        """Ask for changes; what is known of keys is not trusted while the answer is late."""
        asking = asyncio.ensure_future(self._store.changes(self._cursor))
        try:
            # In two steps: after a standstill of the loop itself the answer may be there and not be seen yet.
            for _ in range(2):
                await asyncio.wait({asking}, timeout=LATE_AFTER_SECONDS / 2)
            if not asking.done():
                self._forget_all()
            return await asking
        finally:
            asking.cancel()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)


class StoreProbe:
    """Asks a shared store now and then, so that `/readyz` knows of a dead one before the next check does."""

    def __init__(
        self,
        store: KeyStore,
        *,
        on_failure: Callable[[StoreError], None],
        on_success: Callable[[], None],
    ) -> None:
        self._store = store
        self._on_failure = on_failure
        self._on_success = on_success

    async def look(self) -> None:
        """Look once."""
        try:
            await self._store.versions([_NOBODY])
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look must come
            self._on_failure(error if isinstance(error, StoreError) else StoreError(repr(error)))
        else:
            self._on_success()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PROBE_EVERY_SECONDS)
