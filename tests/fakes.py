"""Stand-ins that keep the contracts of what they stand for, and that tests can move, hold and let fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from extauth.clock import to_us
from extauth.errors import ConflictError, InvalidInputError, NotFoundError, StoreError
from extauth.limits.algorithm import BucketState
from extauth.model import ApiKey
from extauth.stores.base import KeyChanges, KeyPage

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now_us = to_us(start)

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC."""
        return self._now_us

    def advance(self, *, seconds: int = 0, microseconds: int = 0) -> None:
        """Move the time on, or back where the numbers are negative."""
        self._now_us += seconds * 1_000_000 + microseconds


@dataclass(frozen=True)
class _Stored:
    sequence: int
    key: ApiKey


class MemoryKeyStore:
    """Key records in a dictionary, under the same conformance suite as the real stores.

    `calls` counts by method. While `failure` is set every call raises it. While `held` is set, `get` has read
    its record but does not return it until the event is set.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failure: StoreError | None = None
        self.held: asyncio.Event | None = None
        self._stored: dict[str, _Stored] = {}
        self._sequence = 0

    async def add(self, key: ApiKey) -> None:
        """Keep a new record. See `KeyStore`."""
        self._called("add")
        if key.key_id in self._stored:
            raise ConflictError(f"key {key.key_id} exists already")
        self._put(key)

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None. See `KeyStore`."""
        self._called("get")
        stored = self._stored.get(key_id)
        if self.held is not None:
            await self.held.wait()
        # A new object for each load, as a store would read it.
        return None if stored is None else replace(stored.key)

    async def save(self, key: ApiKey) -> None:
        """Replace the record of the version before. See `KeyStore`."""
        self._called("save")
        stored = self._stored.get(key.key_id)
        if stored is None:
            raise NotFoundError(f"no key {key.key_id}")
        if stored.key.version != key.version - 1:
            raise ConflictError(f"key {key.key_id} was changed meanwhile")
        self._put(key)

    async def list(
        self, *, user_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first. See `KeyStore`."""
        self._called("list")
        if cursor is not None and cursor not in self._stored:
            raise InvalidInputError("the cursor is not one that a list handed out")
        keys = sorted(
            (stored.key for stored in self._stored.values() if user_id in {None, stored.key.user_id}),
            key=_age,
        )
        if cursor is not None:
            keys = [key for key in keys if _age(key) > _age(self._stored[cursor].key)]
        page = tuple(keys[:limit])
        return KeyPage(page, page[-1].key_id if len(keys) > limit else None)

    async def count(self) -> int:
        """Return how many records there are."""
        self._called("count")
        return len(self._stored)

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return what changed since the cursor. See `KeyStore`."""
        self._called("changes")
        if cursor is None:
            return KeyChanges(self._sequence, ())
        changed = tuple(key_id for key_id, stored in self._stored.items() if stored.sequence > cursor)
        return KeyChanges(self._sequence, changed)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _put(self, key: ApiKey) -> None:
        self._sequence += 1
        self._stored[key.key_id] = _Stored(self._sequence, key)

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        if self.failure is not None:
            raise self.failure


def _age(key: ApiKey) -> tuple[datetime, str]:
    return key.created_at, key.key_id


class MemoryArchive:
    """A bucket archive in a dictionary; `failure` and `held` are as in `MemoryKeyStore`, for `write`."""

    def __init__(self) -> None:
        self.rows: dict[str, BucketState] = {}
        self.writes = 0
        self.closed = False
        self.failure: StoreError | None = None
        self.held: asyncio.Event | None = None

    async def load(self, now_us: int) -> Sequence[tuple[str, int, int, int, int]]:
        """Return all rows that are not full by now. See `BucketArchive`."""
        return [(bucket, *state) for bucket, state in self.rows.items() if state[3] > now_us]

    async def write(self, states: Mapping[str, BucketState], forgotten: Collection[str]) -> None:
        """Keep the states and drop the forgotten buckets. See `BucketArchive`."""
        if self.held is not None:
            await self.held.wait()
        self.writes += 1
        if self.failure is not None:
            raise self.failure
        for bucket in forgotten:
            self.rows.pop(bucket, None)
        self.rows.update(states)

    async def close(self) -> None:
        """Note that nobody may write any more."""
        self.closed = True
