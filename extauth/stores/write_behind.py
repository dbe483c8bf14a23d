"""Keeps the memory limit store's buckets in an archive: read at start, written twice a second and at the end.

Leases go there at the end only: they change with each request, and end by themselves where they are lost.
They stay there until the next server runs, so that a start that fails, or is broken off, loses none.

Half a second plus the time of a write stays under the promised one second that a kill -9 may forget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.stores.limits import BucketArchive
from extauth.stores.memory import MemoryLimitStore

WRITE_EVERY_SECONDS = 0.5


class WriteBehind:
    """Carries buckets between a memory store and its archive.

    A failed write loses nothing: it is tried again.
    """

    def __init__(
        self,
        store: MemoryLimitStore,
        archive: BucketArchive,
        clock: Clock,
        *,
        on_failure: Callable[[StoreError], None],
        on_success: Callable[[], None],
    ) -> None:
        self._store = store
        self._archive = archive
        self._clock = clock
        self._on_failure = on_failure
        self._on_success = on_success
        self._has_restored = False

    async def restore(self) -> None:
        """Fill the store with what the archive kept, without the buckets that are full by now: leases too.

        Raises StoreError.
        """
        rows = await self._archive.load(self._clock.now_us())
        self._store.restore(
            (bucket, (first, second, third, clear_at_us))
            for bucket, first, second, third, clear_at_us in rows
        )
        self._store.leases.restore(await self._archive.kept_leases(), self._clock.now_us())
        self._has_restored = True

    async def run(self) -> None:
        """Write until cancelled."""
        has_forgotten = False
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            has_forgotten = has_forgotten or await self._forget_kept()
            self._store.sweep(self._clock.now_us())
            await self.flush()

    async def _forget_kept(self) -> bool:
        """Forget the leases that were restored; tell whether that is done."""
        try:
            await self._archive.keep_leases(())
        except Exception as error:  # noqa: BLE001 - it is tried again, and the flushes must come
            self._failed(error)
            return False
        return True

    async def flush(self) -> None:
        """Write what has changed; on failure keep it for the next time."""
        unsaved = self._store.take_unsaved()
        if not unsaved.states and not unsaved.forgotten:
            return
        try:
            await self._archive.write(unsaved.states, unsaved.forgotten)
        except asyncio.CancelledError:
            # Whether it was written nobody knows; the flush at the end writes it again.
            self._store.give_back(unsaved)
            raise
        except Exception as error:  # noqa: BLE001 - the counts stay, and the next flush must come
            self._store.give_back(unsaved)
            self._failed(error)
        else:
            self._on_success()

    def _failed(self, error: Exception) -> None:
        self._on_failure(error if isinstance(error, StoreError) else StoreError(repr(error)))

    async def close(self) -> None:
        """Write the rest, and the requests that are in flight; close the archive.

        Where nothing was restored, what is kept there is left for the next start.
        """
        await self.flush()
        if self._has_restored:
            try:
                await self._archive.keep_leases(self._store.leases.held(self._clock.now_us()))
            except StoreError as error:
                # They are forgotten, as if the process had been killed.
                self._on_failure(error)
        await self._archive.close()
