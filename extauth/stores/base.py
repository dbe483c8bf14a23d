"""What stores of key records keep to, whatever they keep them in. Those of limits are in `limits.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol

from extauth.model import ApiKey
from extauth.stores.bans import Ban, BanList, Offender
from extauth.stores.search import SearchableStore
from extauth.stores.shadowed import ShadowedStore

# How many records a list looks at for one page: filters that have no index never read a whole store.
LOOKED_AT_ONCE = 400
# How many addresses are told apart of those that use a key during its grace.
MOST_ADDRESSES = 20
# What all further addresses are counted under.
OTHER_ADDRESSES = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """Which keys a list shows; None asks for nothing. All conditions must hold.

    `active` False shows keys that are disabled or revoked. `expires_before` shows keys whose end is set and
    earlier; `unused_since` those that were last used before, or never and made before.
    """

    user_id: str | None = None
    tier: str | None = None
    active: bool | None = None
    expires_before: datetime | None = None
    unused_since: datetime | None = None

    def fits(self, key: ApiKey) -> bool:
        """Tell whether the list shows this key."""
        return (
            (self.user_id is None or key.user_id == self.user_id)
            and (self.tier is None or key.tier == self.tier)
            and (self.active is None or key.active == self.active)
            and (
                self.expires_before is None
                or (key.expires_at is not None and key.expires_at < self.expires_before)
            )
            and (self.unused_since is None or (key.last_used or key.created_at) < self.unused_since)
        )


ALL_KEYS = KeyFilter()


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of a list, oldest key first. `next_cursor` is None on the last page.

    A page may hold fewer keys than asked for, or none, and yet not be the last: a list looks at
    `LOOKED_AT_ONCE` records at most.
    """

    keys: tuple[ApiKey, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Which keys somebody changed since a cursor was handed out, and the cursor to ask with next time."""

    cursor: int
    key_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change: who did what to which key, when, from where; `before` and `after` hold what differs.

    `id` is given by the store and rises; it is empty before that. `before` and `after` never hold a secret,
    nor a hash of one.
    """

    at: datetime
    actor: str
    source: str
    action: str
    key_id: str
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are shown; None asks for nothing. `since` is inclusive, `until` exclusive."""

    key_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, entry: AuditEntry) -> bool:
        """Tell whether this entry is shown."""
        return (
            (self.key_id is None or entry.key_id == self.key_id)
            and (self.actor is None or entry.actor == self.actor)
            and (self.action is None or entry.action == self.action)
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
        )


ALL_ENTRIES = AuditFilter()


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of the audit log, newest entry first; may be short like a `KeyPage`."""

    entries: tuple[AuditEntry, ...]
    next_cursor: str | None


# How often a key was called that is in no grace.
NO_CALLS: Mapping[str, int] = MappingProxyType({})


class KeyUse(NamedTuple):
    """That a key was used, and when last; for a key in its grace also how often since, by client address."""

    key_id: str
    last_used: datetime
    calls: Mapping[str, int] = NO_CALLS


@dataclass(frozen=True, slots=True)
class GraceUse:
    """How often a rotated key was still used, by client address; at most `MOST_ADDRESSES` of these."""

    calls: int = 0
    addresses: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What came of a request under an idempotency key; `fingerprint` tells it from other requests."""

    fingerprint: str
    key_id: str
    at: datetime


class KeyStore(ShadowedStore, SearchableStore, Protocol):
    """Keeps key records. Every method may raise StoreError; what was acknowledged is durable.

    A change and its audit entries come about together or not at all.
    """

    # Whether other servers change the same records: then each check asks `versions` whether what it knows of
    # a key still holds. Otherwise `changes` is polled.
    is_shared: bool

    async def add(self, key: ApiKey, entry: AuditEntry, *, most_of_user: int | None = None) -> None:
        """Keep a new record.

        Raises ConflictError where the id is taken, TooManyKeysError where the user has `most_of_user` keys
        that are not revoked.
        """
        ...

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the record, or None."""
        ...

    async def save(self, key: ApiKey, entry: AuditEntry) -> None:
        """Replace the record of `key.version - 1` by this one, but for `last_used`, which stays.

        Raises NotFoundError, or ConflictError where it changed meanwhile.
        """
        ...

    async def rotate(self, old: ApiKey, new: ApiKey, entries: tuple[AuditEntry, AuditEntry]) -> None:
        """Save the old record as `save` does, add the new one as `add` does: both or, after a fault, neither.

        `entries` are about the old key and about the new one, and belong to the old one's change: a server
        that dies in between, or can't learn what became of it, may leave the new record without an entry,
        whose secret nobody was told; never the reverse.
        """
        ...

    async def purge(
        self, revoked_before: datetime, entry: AuditEntry, *, limit: int = 500
    ) -> tuple[str, ...]:
        """Forget up to `limit` keys revoked before that time, with their counts; return their ids.

        For each, `entry` is written with its id.
        """
        ...

    async def list(
        self, wanted: KeyFilter = ALL_KEYS, *, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records. Raises InvalidInputError on a cursor that is not ours."""
        ...

    async def count(self) -> int:
        """Return how many records there are."""
        ...

    async def peppers(self) -> Mapping[str, int]:
        """Return how many keys that are not revoked need which pepper, by pepper id."""
        ...

    async def note_uses(self, uses: Sequence[KeyUse]) -> None:
        """Note when keys were used, only ever forwards, and add up the calls. Unknown keys are passed over.

        This is no change of a record: neither its version nor `changes` tells.
        """
        ...

    async def grace_use(self, key_id: str) -> GraceUse:
        """Return how often a key was used in its grace."""
        ...

    async def audit(
        self, wanted: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 100
    ) -> AuditPage:
        """Return a page of the audit log. Raises InvalidInputError on a cursor that is not ours."""
        ...

    async def note(self, entry: AuditEntry) -> None:
        """Write an audit entry about something that changes no record."""
        ...

    async def trim_audit(self, before: datetime) -> int:
        """Forget entries from before that time; return how many. The one way in which entries go."""
        ...

    async def claim(self, name: str, claim: Claim, *, stale_before: datetime) -> Claim:
        """Take a name that nobody has, or whose claim is from before that time; return whose it is now."""
        ...

    async def claimed(self, name: str) -> Claim | None:
        """Return whose a name is, as long as its claim is kept: a day at least."""
        ...

    async def release(self, name: str, claim: Claim) -> None:
        """Give a name back, unless somebody else has it by now."""
        ...

    async def bans(self, known: str = "") -> BanList | None:
        """Return all bans; None where the list is still at the `known` revision."""
        ...

    async def ban(self, ban: Ban, entry: AuditEntry) -> None:
        """Ban a subject, in place of any ban that it has."""
        ...

    async def note_bans(self, bans: Sequence[Ban]) -> None:
        """Keep automatic bans, each where the subject's ban yields to it. See `Ban.yields_to`."""
        ...

    async def lift(self, subject: str, entry: AuditEntry) -> bool:
        """End a subject's ban; return False where there is none."""
        ...

    async def note_offenders(self, process: str, offenders: Sequence[Offender], now_us: int) -> None:
        """Keep who fails most in a process, in place of what it said before."""
        ...

    async def offenders(self, now_us: int) -> Sequence[Offender]:
        """Return what processes said within `OFFENDERS_KEPT_US`: all of each, in any order."""
        ...

    async def changes(self, cursor: int | None) -> KeyChanges:
        """Return what changed since the cursor, by whatever process; with None, only a cursor for now.

        Purged keys needn't be among them, since they were revoked before. A shared store returns nothing.
        """
        ...

    async def versions(self, key_ids: Sequence[str]) -> Sequence[int]:
        """Return the versions of these records, in order and in one trip; 0 where there is none."""
        ...

    async def durability(self) -> str:
        """Return what becomes of an acknowledged change in a crash, in a sentence for operators."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
