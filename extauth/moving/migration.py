"""Copies all records from one store to another, hashes unchanged, so that every key goes on working.

It may be interrupted and run again. What the target has already and equal is passed over, what is newer in
the source is brought up to date, and nothing that was changed in the target itself is ever overwritten: a
revocation there must not be undone by another change here.

It works on the stores and not through the key service, because records are moved as they are: no rule judges
them, and neither store's pepper is needed. Each record that is written gets its audit entry all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from extauth.clock import Clock, from_us
from extauth.errors import ConflictError, NotFoundError
from extauth.keys.asked import Actor
from extauth.keys.views import differences
from extauth.model import ApiKey
from extauth.moving.lines import without_use
from extauth.moving.pages import collect, pages_of
from extauth.moving.parallel import each
from extauth.stores.base import AuditEntry, AuditFilter, GraceUse, KeyStore, KeyUse
from extauth.stores.shadowed import MOST_PLACES, ShadowedCount, oldest_kept

MIGRATED = "key.migrated"
# The last entry of a record that nobody has changed since it was moved here.
_MOVES = (MIGRATED, "key.restored")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose record in the target is another one, and was left as it is."""

    key_id: str
    why: str


@dataclass(slots=True, kw_only=True)
class MigrationReport:
    """What was done, and how the stores compare afterwards.

    `equal` are the source's keys that the target holds in the same version, `source` and `target` how many
    keys there are. A dry run counts what would be done, and compares nothing.
    """

    added: int = 0
    updated: int = 0
    same: int = 0
    differing: list[Difference] = field(default_factory=list)
    source: int = 0
    target: int = 0
    equal: int = 0

    @property
    def only_in_target(self) -> int:
        """How many keys the target held before that the source doesn't have. After a dry run only."""
        return max(0, self.target - self.updated - self.same - len(self.differing))

    @property
    def is_complete(self) -> bool:
        """Tell whether both stores hold the same keys. After a real run only."""
        return not self.differing and self.equal == self.source == self.target


class Migration:
    """One run. Without a target, as of a file that isn't there yet, only a dry run is possible."""

    def __init__(
        self, source: KeyStore, target: KeyStore | None, *, by: Actor, clock: Clock, dry_run: bool = False
    ) -> None:
        assert dry_run or target is not None
        self._source = source
        self._target = target
        self._by = by
        self._clock = clock
        self._dry_run = dry_run
        self._report = MigrationReport()

    async def run(self, on_done: Callable[[], None]) -> MigrationReport:
        """Move all records; `on_done` is called for each. Raises StoreError; run again to go on."""
        async for keys in pages_of(self._source):
            uses: list[KeyUse] = []

            async def move(key: ApiKey, uses: list[KeyUse] = uses) -> None:
                await self._move(key, uses)
                on_done()

            await each(keys, move, at_once=_AT_ONCE)
            if uses and self._target is not None and not self._dry_run:
                await self._target.note_uses(uses)
        await self._add_shadowed()
        await self._compare()
        return self._report

    async def _move(self, key: ApiKey, uses: list[KeyUse]) -> None:
        there = None if self._target is None else await self._target.get(key.key_id)
        try:
            if there is None:
                await self._add(key)
            elif without_use(there) == without_use(key):
                self._report.same += 1
            elif why := await self._why_not(key, there):
                self._report.differing.append(Difference(key.key_id, why))
                return
            else:
                await self._update(key, there)
        except (ConflictError, NotFoundError):
            self._report.differing.append(Difference(key.key_id, "was changed in the target just now"))
            return
        if use := await self._use(key, there):
            uses.append(use)

    async def _add(self, key: ApiKey) -> None:
        if self._target is not None and not self._dry_run:
            await self._target.add(key, self._entry(None, key))
        self._report.added += 1

    async def _update(self, key: ApiKey, there: ApiKey) -> None:
        """Bring a record up to date, through the versions in between: a store takes the next one only."""
        if self._target is not None and not self._dry_run:
            for version in range(there.version + 1, key.version + 1):
                entry = self._entry(there, replace(key, version=version))
                await self._target.save(replace(key, version=version), entry)
        self._report.updated += 1

    async def _why_not(self, key: ApiKey, there: ApiKey) -> str:
        """Return why a record must not be brought up to date, or an empty text."""
        ours, theirs = without_use(key), without_use(there)
        names = [name for name in ours if ours[name] != theirs[name] and name != "version"]
        what = f"differs in {', '.join(names)}" if names else "has another version"
        if there.version > key.version:
            return f"{what}: it is newer in the target"
        if there.version == key.version:
            return f"{what}: it was changed on both sides"
        if await self._was_changed_there(there):
            return f"{what}: it was changed in the target too"
        return ""

    async def _was_changed_there(self, there: ApiKey) -> bool:
        """Tell whether somebody changed a record in the target itself, by the last entry of its audit log.

        Nobody did if the record was moved there; nor if the source has that entry too, as where the target
        began as a copy of the file; nor if the source itself got the record from there, in that version.
        """
        assert self._target is not None
        (last,) = await _newest(self._target, AuditFilter(key_id=there.key_id), 1) or (None,)
        if last is None:
            # A key that a rotation made has none until it changes; of others the log may have been trimmed.
            return there.version > 1
        if last.action in _MOVES:
            return False
        # Nothing but the moment tells one entry from another across stores.
        until = last.at + timedelta(microseconds=1)
        wanted = AuditFilter(key_id=there.key_id, action=last.action, since=last.at, until=until)
        if await _newest(self._source, wanted, 1):
            return False
        moves = await _newest(self._source, AuditFilter(key_id=there.key_id, action=MIGRATED), None)
        return all(entry.after.get("version") != there.version for entry in moves)

    async def _use(self, key: ApiKey, there: ApiKey | None) -> KeyUse | None:
        """Return what the target doesn't know of the key's use: when it was last, and calls in its grace.

        Without these calls, a target would say that nobody uses the old key any more.
        """
        if self._dry_run or self._target is None:
            return None
        calls: Mapping[str, int] = {}
        if key.rotated_to is not None:
            known = await self._target.grace_use(key.key_id)
            calls = _more_calls(await self._source.grace_use(key.key_id), known)
        is_later = (
            there is not None
            and key.last_used is not None
            and (there.last_used is None or there.last_used < key.last_used)
        )
        if not calls and not is_later:
            return None
        return KeyUse(key_id=key.key_id, last_used=key.last_used or key.created_at, calls=calls)

    async def _add_shadowed(self) -> None:
        """Bring what limits in shadow would have refused: a report begins with what was before the move."""
        if self._dry_run or self._target is None:
            return
        today = from_us(self._clock.now_us()).date()
        since, until = oldest_kept(today), today
        here = await self._source.shadowed(since, until)
        there = await self._target.shadowed(since, until)
        await self._target.note_shadowed(_more_shadowed(here, there))

    async def _compare(self) -> None:
        """Count both stores, and compare the versions of all records: keys may have changed meanwhile."""
        self._report.source = await self._source.count()
        if self._target is None:
            return
        self._report.target = await self._target.count()
        if self._dry_run:
            return
        async for keys in pages_of(self._source):
            versions = await self._target.versions([key.key_id for key in keys])
            self._report.equal += _equal(keys, versions)
        self._report.differing.sort(key=lambda difference: difference.key_id)

    def _entry(self, before: ApiKey | None, after: ApiKey) -> AuditEntry:
        old, new = differences(before, after)
        return AuditEntry(
            at=from_us(self._clock.now_us()),
            actor=self._by.name,
            source=self._by.source,
            action=MIGRATED,
            key_id=after.key_id,
            before=old,
            # Which record it was, for a migration back.
            after={**new, "version": after.version},
        )


async def _newest(store: KeyStore, wanted: AuditFilter, limit: int | None) -> list[AuditEntry]:
    """Return the newest entries that are wanted, or all, behind however many pages of others."""

    async def read(cursor: str | None, limit: int) -> tuple[Sequence[AuditEntry], str | None]:
        page = await store.audit(wanted, cursor=cursor, limit=limit)
        return page.entries, page.next_cursor

    entries, _ = await collect(read, cursor=None, limit=limit)
    return entries


def _equal(keys: Sequence[ApiKey], versions: Sequence[int]) -> int:
    return sum(key.version == version for key, version in zip(keys, versions, strict=True))


def _more_shadowed(source: Sequence[ShadowedCount], target: Sequence[ShadowedCount]) -> list[ShadowedCount]:
    """Return by how much the source's counts are ahead, so that a second run adds nothing twice.

    A day that is full in the target already tells the places that it lacks from nothing: they stay behind.
    """
    known = {(count.day, count.place): count.requests for count in target}
    places = Counter(count.day for count in target)
    ahead = [
        replace(count, requests=count.requests - known.get((count.day, count.place), 0))
        for count in source
        if (count.day, count.place) in known or places[count.day] < MOST_PLACES
    ]
    return [count for count in ahead if count.requests > 0]


def _more_calls(source: GraceUse, target: GraceUse) -> dict[str, int]:
    """Return by how much the source's counts are ahead, so that a second run adds nothing twice."""
    ahead = {address: calls - target.addresses.get(address, 0) for address, calls in source.addresses.items()}
    return {address: calls for address, calls in ahead.items() if calls > 0}
