"""Limits of the embedded store, seen through the archive of the server that counts them."""

from __future__ import annotations

import os
from pathlib import Path

from extauth.clock import Clock
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.stores.limits import Seen
from extauth.stores.sqlite_archive import InUseError, SqliteBucketArchive


class ArchivedLimits:
    """What an archive says, which is at most a second behind a server that runs. See `LimitStates`.

    Without an archive nothing was ever spent.
    """

    def __init__(self, archive: SqliteBucketArchive | None, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits stand. See `LimitStates`."""
        buckets = [take.bucket for take in plan.all_takes]
        states = {} if self._archive is None else await self._archive.read(buckets)
        return Seen(self._clock.now_us(), states)

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent; only where no server counts. See `LimitStates`."""
        if self._archive is not None:
            await self._archive.write({}, [take.bucket for take in plan.all_takes])

    async def close(self) -> None:
        """Let go of the file."""
        if self._archive is not None:
            await self._archive.close()


async def open_archived_limits(path: Path, clock: Clock, *, to_change: bool) -> ArchivedLimits:
    """Open an archive to look, or to change it where no server has it. Raises StoreError."""
    if not os.path.exists(path):  # noqa: PTH110, ASYNC240 - one quick look, before anything else happens
        # Whoever makes the file owns it, and that must be the server.
        return ArchivedLimits(None, clock)
    archive = SqliteBucketArchive(path)
    try:
        await archive.open(to_count=to_change)
    except InUseError as error:
        raise StoreError(
            f"{path}: a server is running, which counts in its own memory and would not notice. Ask it: "
            "POST /admin/v1/keys/<key id>/limits/reset of its admin API"
        ) from error
    return ArchivedLimits(archive, clock)
