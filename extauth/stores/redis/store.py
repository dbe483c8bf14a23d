"""Key records in Redis. How it keeps what it promises stands in `changes`, what is where in `layout`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from extauth.clock import from_us, to_us
from extauth.errors import StoreError
from extauth.model import ApiKey
from extauth.settings.model import StoreSettings
from extauth.stores.bans import Ban, BanList, Offender
from extauth.stores.base import (
    ALL_ENTRIES,
    ALL_KEYS,
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
from extauth.stores.redis import layout, scripts
from extauth.stores.redis.bans import BanLists
from extauth.stores.redis.changes import LEFT_BEHIND_AFTER_MS, Changes
from extauth.stores.redis.connect import connect
from extauth.stores.redis.durability import sentence, weakest_persistence
from extauth.stores.redis.fields import from_fields
from extauth.stores.redis.journal import Journal
from extauth.stores.redis.link import RedisLink
from extauth.stores.redis.listing import KeyLists, count_by_pepper
from extauth.stores.redis.purging import purge
from extauth.stores.redis.search import complete_words, search_keys
from extauth.stores.redis.shadowed import add_shadowed, read_shadowed
from extauth.stores.redis.uses import note_uses
from extauth.stores.search import Found
from extauth.stores.shadowed import ShadowedCount

# Nobody asks for a claim any longer than this.
_CLAIM_KEPT = timedelta(hours=24)


class RedisKeyStore:
    """Key records in Redis. See `KeyStore`."""

    is_shared = True

    def __init__(self, settings: StoreSettings) -> None:
        self._has_replicas = settings.redis.kind != "server"
        self._link = RedisLink(connect(settings), timeout_seconds=settings.timeout.total_seconds())
        self._changes = Changes(self._link)
        self._journal = Journal(self._link)
        self._lists = KeyLists(self._link, self._changes)
        self._bans = BanLists(self._link)

    async def open(self) -> None:
        """Connect, learn what Redis keeps, and finish what others left behind. Raises StoreError."""
        try:
            await self._link.greet()
            await self.durability()
            await self._changes.repair()
        except BaseException:
            await self._link.close()
            raise

    async def repair(self, *, left_for_ms: int = LEFT_BEHIND_AFTER_MS) -> int:
        """Finish the changes whose makers died; return how many. Raises StoreError."""
        return await self._changes.repair(left_for_ms=left_for_ms)

    async def add(self, key: ApiKey, entry: AuditEntry, *, most_of_user: int | None = None) -> None:
        """Keep a new record. See `KeyStore`."""
        await self._changes.add(key, entry, most_of_user=most_of_user)

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None. See `KeyStore`."""
        (fields,) = await self._link.read(("HGETALL", layout.record(key_id)))
        return from_fields(fields) if fields else None

    async def save(self, key: ApiKey, entry: AuditEntry) -> None:
        """Replace the record of the version before. See `KeyStore`."""
        await self._changes.save(key, entry)

    async def rotate(self, old: ApiKey, new: ApiKey, entries: tuple[AuditEntry, AuditEntry]) -> None:
        """Save the old record and add the new one. See `KeyStore`."""
        await self._changes.rotate(old, new, entries)

    async def purge(
        self, revoked_before: datetime, entry: AuditEntry, *, limit: int = 500
    ) -> tuple[str, ...]:
        """Forget keys revoked before that time. See `KeyStore`."""
        return await purge(self._link, self._changes, revoked_before, entry, limit=limit)

    async def list(
        self, wanted: KeyFilter = ALL_KEYS, *, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first. See `KeyStore`."""
        return await self._lists.page(wanted, cursor=cursor, limit=limit)

    async def search(self, beginning: str, *, limit: int) -> Found:
        """Return what begins so. See `SearchableStore`."""
        return await search_keys(self._link, beginning, limit)

    async def complete_search(self) -> int:
        """Index keys of an earlier version. See `SearchableStore`."""
        return await complete_words(self._link, self._changes)

    async def count(self) -> int:
        """Return how many records there are."""
        (number,) = await self._link.read(("ZCARD", layout.ALL_KEYS))
        return int(number)

    async def peppers(self) -> Mapping[str, int]:
        """Return how many keys that are not revoked need which pepper. See `KeyStore`."""
        return await count_by_pepper(self._link)

    async def note_uses(self, uses: Sequence[KeyUse]) -> None:
        """Note when keys were used. See `KeyStore`."""
        await note_uses(self._link, uses)

    async def grace_use(self, key_id: str) -> GraceUse:
        """Return how often a key was used in its grace. See `KeyStore`."""
        (fields,) = await self._link.read(("HGETALL", layout.grace(key_id)))
        calls = {address: int(number) for address, number in fields.items()}
        ordered = sorted(calls.items(), key=lambda pair: (-pair[1], pair[0]))
        return GraceUse(sum(calls.values()), dict(ordered))

    async def audit(
        self, wanted: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 100
    ) -> AuditPage:
        """Return a page of the audit log. See `KeyStore`."""
        return await self._journal.page(wanted, cursor=cursor, limit=limit)

    async def note(self, entry: AuditEntry) -> None:
        """Write an audit entry. See `KeyStore`."""
        await self._journal.note(entry)

    async def trim_audit(self, before: datetime) -> int:
        """Forget entries from before that time. See `KeyStore`."""
        return await self._journal.trim(before)

    async def claim(self, name: str, claim: Claim, *, stale_before: datetime) -> Claim:
        """Take a name. See `KeyStore`."""
        kept_ms = _CLAIM_KEPT // timedelta(milliseconds=1)
        values = (claim.fingerprint, claim.key_id, to_us(claim.at))
        (held,) = await self._link.write(
            scripts.CLAIM([layout.claim(name)], to_us(stale_before), kept_ms, *values)
        )
        return _to_claim(name, held)

    async def claimed(self, name: str) -> Claim | None:
        """Return whose a name is. See `KeyStore`."""
        (held,) = await self._link.read(("HMGET", layout.claim(name), "fingerprint", "key_id", "at"))
        return None if held == [None, None, None] else _to_claim(name, held)

    async def release(self, name: str, claim: Claim) -> None:
        """Give a name back. See `KeyStore`."""
        await self._link.write(scripts.RELEASE([layout.claim(name)], claim.key_id))

    async def note_shadowed(self, counts: Sequence[ShadowedCount]) -> None:
        """Add counts up. See `ShadowedStore`."""
        await add_shadowed(self._link, counts)

    async def shadowed(self, since: date, until: date) -> Sequence[ShadowedCount]:
        """Return the counts of these days. See `ShadowedStore`."""
        return await read_shadowed(self._link, since, until)

    async def bans(self, known: str = "") -> BanList | None:
        """Return all bans. See `KeyStore`."""
        return await self._bans.read(known)

    async def ban(self, ban: Ban, entry: AuditEntry) -> None:
        """Ban a subject. See `KeyStore`."""
        await self._bans.ban(ban, entry)

    async def note_bans(self, bans: Sequence[Ban]) -> None:
        """Keep automatic bans. See `KeyStore`."""
        await self._bans.note(bans)

    async def lift(self, subject: str, entry: AuditEntry) -> bool:
        """End a ban. See `KeyStore`."""
        return await self._bans.lift(subject, entry)

    async def note_offenders(self, process: str, offenders: Sequence[Offender], now_us: int) -> None:
        """Keep who fails most in a process. See `KeyStore`."""
        await self._bans.note_offenders(process, offenders, now_us)

    async def offenders(self, now_us: int) -> Sequence[Offender]:
        """Return who fails most. See `KeyStore`."""
        return await self._bans.offenders(now_us)

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return nothing: each check asks for versions. See `KeyStore`."""
        return KeyChanges(cursor or 0, ())

    async def versions(self, key_ids: Sequence[str]) -> Sequence[int]:
        """Return the versions of these records. See `KeyStore`."""
        if not key_ids:
            return []
        commands = (("HGET", layout.record(key_id), "version") for key_id in key_ids)
        return [int(version or 0) for version in await self._link.read(*commands)]

    async def durability(self) -> str:
        """Return what becomes of an acknowledged change in a crash. See `KeyStore`."""
        persistence = await weakest_persistence(self._link)
        self._link.waits_for_file = persistence.waits
        return sentence(persistence, has_replicas=self._has_replicas)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._link.close()


def _to_claim(name: str, held: Sequence[Any]) -> Claim:
    fingerprint, key_id, at = held
    try:
        return Claim(fingerprint=fingerprint, key_id=key_id, at=from_us(int(at)))
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(f"the claim of {name!r} can't be read: {error}") from error
