"""Stand-ins that keep the contracts of what they stand for, and that tests can move, hold and let fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from extauth.clock import to_us
from extauth.errors import ConflictError, InvalidInputError, NotFoundError, StoreError, TooManyKeysError
from extauth.limits.algorithm import BucketState
from extauth.model import ApiKey
from extauth.stores.base import (
    ALL_ENTRIES,
    ALL_KEYS,
    MOST_ADDRESSES,
    OTHER_ADDRESSES,
    AuditEntry,
    AuditFilter,
    AuditPage,
    Claim,
    GraceUse,
    KeyChanges,
    KeyFilter,
    KeyPage,
    KeyUse,
)
from extauth.stores.search import Found, folded
from extauth.stores.shadowed import Place, ShadowedCount, oldest_kept, place_among
from extauth.throttle.memory import Kept
from tests.fake_bans import MemoryBans

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


class MemoryKeyStore(MemoryBans):
    """Key records in a dictionary, under the same conformance suite as the real stores.

    `calls` counts by method. While `failure` is set every call raises it. While `held` is set, `get` has read
    its record but does not return it until the event is set.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        super().__init__()
        self.is_shared = is_shared
        self.calls: Counter[str] = Counter()
        self.failure: StoreError | None = None
        self.held: asyncio.Event | None = None
        self.entries: list[AuditEntry] = []
        self._stored: dict[str, _Stored] = {}
        self._sequence = 0
        self._calls_in_grace: dict[str, Counter[str]] = {}
        self._claims: dict[str, Claim] = {}
        self._ids = 0
        self._shadowed: dict[date, Counter[Place]] = {}

    async def add(self, key: ApiKey, entry: AuditEntry, *, most_of_user: int | None = None) -> None:
        """Keep a new record. See `KeyStore`."""
        self._called("add")
        keys = [stored.key for stored in self._stored.values()]
        living = [one for one in keys if one.user_id == key.user_id and one.revoked_at is None]
        if most_of_user is not None and len(living) >= most_of_user:
            raise TooManyKeysError(f"user {key.user_id} has {len(living)} keys, as many as they may have")
        self._check_absent(key)
        self._put(key)
        self._write(entry)

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None. See `KeyStore`."""
        self._called("get")
        stored = self._stored.get(key_id)
        if self.held is not None:
            await self.held.wait()
        # A new object for each load, as a store would read it.
        return None if stored is None else replace(stored.key)

    async def save(self, key: ApiKey, entry: AuditEntry) -> None:
        """Replace the record of the version before. See `KeyStore`."""
        self._called("save")
        self._check_version(key)
        self._put(replace(key, last_used=self._stored[key.key_id].key.last_used))
        self._write(entry)

    async def rotate(self, old: ApiKey, new: ApiKey, entries: tuple[AuditEntry, AuditEntry]) -> None:
        """Save the old record and add the new one. See `KeyStore`."""
        self._called("rotate")
        self._check_version(old)
        self._check_absent(new)
        self._put(replace(old, last_used=self._stored[old.key_id].key.last_used))
        self._put(new)
        for entry in entries:
            self._write(entry)

    async def purge(
        self, revoked_before: datetime, entry: AuditEntry, *, limit: int = 500
    ) -> tuple[str, ...]:
        """Forget keys revoked before that time. See `KeyStore`."""
        self._called("purge")
        old = [
            key_id
            for key_id, stored in self._stored.items()
            if stored.key.revoked_at is not None and stored.key.revoked_at < revoked_before
        ][:limit]
        for key_id in old:
            del self._stored[key_id]
            self._calls_in_grace.pop(key_id, None)
            self._write(replace(entry, key_id=key_id))
        return tuple(old)

    async def list(
        self, wanted: KeyFilter = ALL_KEYS, *, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first. See `KeyStore`."""
        self._called("list")
        if cursor is not None and cursor not in self._stored:
            raise InvalidInputError("the cursor is not one that a list handed out")
        keys = sorted((stored.key for stored in self._stored.values() if wanted.fits(stored.key)), key=_age)
        if cursor is not None:
            keys = [key for key in keys if _age(key) > _age(self._stored[cursor].key)]
        page = tuple(keys[:limit])
        return KeyPage(page, page[-1].key_id if len(keys) > limit else None)

    async def complete_search(self) -> int:
        """Nothing to do. See `SearchableStore`."""
        return 0

    async def search(self, beginning: str, *, limit: int) -> Found:
        """Return what begins so. See `SearchableStore`."""
        self._called("search")
        keys = sorted((stored.key for stored in self._stored.values()), key=lambda key: key.key_id)
        by_id = [key for key in keys if key.key_id.startswith(beginning)]
        named = sorted(keys, key=lambda key: (folded(key.name), key.key_id))
        by_name = [key for key in named if folded(key.name).startswith(folded(beginning))]
        found = {key.key_id: key for key in (*by_id, *by_name)}
        users = Counter(key.user_id for key in keys if key.user_id.startswith(beginning))
        return Found(keys=tuple(found.values())[:limit], users=dict(sorted(users.items())[:limit]))

    async def count(self) -> int:
        """Return how many records there are."""
        self._called("count")
        return len(self._stored)

    async def peppers(self) -> Mapping[str, int]:
        """Return how many living keys need which pepper. See `KeyStore`."""
        self._called("peppers")
        keys = (stored.key for stored in self._stored.values())
        return Counter(key.pepper_id for key in keys if key.revoked_at is None)

    async def note_uses(self, uses: Sequence[KeyUse]) -> None:
        """Note when keys were used. See `KeyStore`."""
        self._called("note_uses")
        for use in uses:
            stored = self._stored.get(use.key_id)
            if stored is None:
                continue
            key = stored.key
            if key.last_used is None or key.last_used < use.last_used:
                used = replace(key, last_used=use.last_used)
                self._stored[use.key_id] = _Stored(stored.sequence, used)
            self._count_calls(use)

    async def grace_use(self, key_id: str) -> GraceUse:
        """Return how often a key was used in its grace. See `KeyStore`."""
        self._called("grace_use")
        counts = self._calls_in_grace.get(key_id, Counter())
        return GraceUse(counts.total(), dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))))

    async def audit(
        self, wanted: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 100
    ) -> AuditPage:
        """Return a page of the audit log, newest first. See `KeyStore`."""
        self._called("audit")
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 18):
            raise InvalidInputError("the cursor is not one that a list handed out")
        fitting = [entry for entry in reversed(self.entries) if wanted.fits(entry)]
        if cursor is not None:
            fitting = [entry for entry in fitting if int(entry.id) < int(cursor)]
        page = tuple(fitting[:limit])
        return AuditPage(page, page[-1].id if len(fitting) > limit else None)

    async def note(self, entry: AuditEntry) -> None:
        """Write an audit entry. See `KeyStore`."""
        self._called("note")
        self._write(entry)

    async def trim_audit(self, before: datetime) -> int:
        """Forget entries from before that time. See `KeyStore`."""
        self._called("trim_audit")
        kept = [entry for entry in self.entries if entry.at >= before]
        trimmed = len(self.entries) - len(kept)
        self.entries = kept
        return trimmed

    async def claim(self, name: str, claim: Claim, *, stale_before: datetime) -> Claim:
        """Take a name. See `KeyStore`."""
        self._called("claim")
        held = self._claims.get(name)
        if held is None or held.at < stale_before:
            self._claims[name] = held = claim
        return held

    async def claimed(self, name: str) -> Claim | None:
        """Return whose a name is. See `KeyStore`."""
        self._called("claimed")
        return self._claims.get(name)

    async def release(self, name: str, claim: Claim) -> None:
        """Give a name back. See `KeyStore`."""
        self._called("release")
        held = self._claims.get(name)
        if held is not None and held.key_id == claim.key_id:
            del self._claims[name]

    async def note_shadowed(self, counts: Sequence[ShadowedCount]) -> None:
        """Add counts up. See `ShadowedStore`."""
        self._called("note_shadowed")
        for count in counts:
            places = self._shadowed.setdefault(count.day, Counter())
            places[place_among(count.place, places.__contains__, len(places))] += count.requests
        oldest = oldest_kept(max(self._shadowed, default=START.date()))
        self._shadowed = {day: places for day, places in self._shadowed.items() if day >= oldest}

    async def shadowed(self, since: date, until: date) -> Sequence[ShadowedCount]:
        """Return the counts of these days. See `ShadowedStore`."""
        self._called("shadowed")
        return [
            ShadowedCount(day=day, place=place, requests=requests)
            for day, places in self._shadowed.items()
            if since <= day <= until
            for place, requests in places.items()
        ]

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return what changed since the cursor. See `KeyStore`."""
        self._called("changes")
        if cursor is None:
            return KeyChanges(self._sequence, ())
        changed = tuple(key_id for key_id, stored in self._stored.items() if stored.sequence > cursor)
        return KeyChanges(self._sequence, changed)

    async def versions(self, key_ids: Sequence[str]) -> Sequence[int]:
        """Return the versions of these records. See `KeyStore`."""
        self._called("versions")
        found = (self._stored.get(key_id) for key_id in key_ids)
        return [0 if stored is None else stored.key.version for stored in found]

    async def durability(self) -> str:
        """Say what a dictionary can promise."""
        return "Nothing survives the process."

    async def close(self) -> None:
        """Nothing to let go of."""

    def _check_absent(self, key: ApiKey) -> None:
        if key.key_id in self._stored:
            raise ConflictError(f"key {key.key_id} exists already")

    def _check_version(self, key: ApiKey) -> None:
        stored = self._stored.get(key.key_id)
        if stored is None:
            raise NotFoundError(f"no key {key.key_id}")
        if stored.key.version != key.version - 1:
            raise ConflictError(f"key {key.key_id} was changed meanwhile")

    def _count_calls(self, use: KeyUse) -> None:
        if not use.calls:
            return
        counts = self._calls_in_grace.setdefault(use.key_id, Counter())
        for address, calls in use.calls.items():
            known = address in counts or len(counts.keys() - {OTHER_ADDRESSES}) < MOST_ADDRESSES
            counts[address if known else OTHER_ADDRESSES] += calls

    def _put(self, key: ApiKey) -> None:
        self._sequence += 1
        self._stored[key.key_id] = _Stored(self._sequence, key)

    def _write(self, entry: AuditEntry) -> None:
        self._ids += 1
        self.entries.append(replace(entry, id=str(self._ids)))

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
        self.leases: Sequence[Kept] = ()
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

    async def keep_leases(self, kept: Sequence[Kept]) -> None:
        """Keep the leases that are held at the end of a process. See `BucketArchive`."""
        if self.failure is not None:
            raise self.failure
        self.leases = kept

    async def kept_leases(self) -> Sequence[Kept]:
        """Return the leases that were kept. See `BucketArchive`."""
        if self.failure is not None:
            raise self.failure
        return self.leases

    async def close(self) -> None:
        """Note that nobody may write any more."""
        self.closed = True
