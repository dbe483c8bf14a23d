"""The two narrow things that stores do.

Keep key records, and take limits. What every implementation must keep to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from extauth.limits.algorithm import BucketState
from extauth.limits.plan import Take
from extauth.model import ApiKey, Usage


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of a list, oldest key first. `next_cursor` is None on the last page."""

    keys: tuple[ApiKey, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Which keys somebody changed since a cursor was handed out, and the cursor to ask with next time."""

    cursor: int
    key_ids: tuple[str, ...]


class KeyStore(Protocol):
    """Keeps key records. Every method may raise StoreError; what was acknowledged is durable."""

    async def add(self, key: ApiKey) -> None:
        """Keep a new record. Raises ConflictError where the id is taken."""
        ...

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None."""
        ...

    async def save(self, key: ApiKey) -> None:
        """Replace the record of `key.version - 1` by this one.

        Raises NotFoundError, or ConflictError where it changed meanwhile.
        """
        ...

    async def list(
        self, *, user_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, of one user or of all.

        Raises InvalidInputError on a cursor that is not ours.
        """
        ...

    async def count(self) -> int:
        """Return how many records there are."""
        ...

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return what changed since the cursor, by whatever process; with None, only a cursor for now."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


class LimitStore(Protocol):
    """Takes limits. All of one request are taken in one step, or none."""

    def acquire(self, takes: Sequence[Take], cost: int, now_us: int) -> tuple[Usage, ...]:
        """Take `cost` from every bucket if all of them allow it, else from none.

        Return one usage for each, in order.
        """
        ...


class BucketArchive(Protocol):
    """Where the memory limit store's buckets outlive the process. Every method may raise StoreError."""

    async def load(self, now_us: int) -> Sequence[tuple[str, int, int, int, int]]:
        """Return rows of a bucket's name and the fields of its `BucketState`.

        Those that are full by now are dropped.
        """
        ...

    async def write(self, states: Mapping[str, BucketState], forgotten: Collection[str]) -> None:
        """Keep these states and drop the forgotten buckets; durable once it returns."""
        ...

    async def close(self) -> None:
        """Let go of the file."""
        ...
