"""Everything that happens to a key between its creation and its end.

Whoever manages keys calls this, never a store: the admin API and the command line alike. Each change is
judged by the rules, written together with its audit entry, and refused where somebody else was faster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from extauth.clock import Clock, from_us
from extauth.errors import ConflictError, InvalidInputError, NotFoundError
from extauth.keys.asked import (
    ALL_READ,
    UNSET,
    Actor,
    GraceReport,
    IssuedKey,
    KeyChange,
    KeyPolicy,
    Misread,
    NewKey,
    PepperStatus,
)
from extauth.keys.creation import end_of, first_record
from extauth.keys.foreign import ForeignKey
from extauth.keys.hashing import SecretHasher
from extauth.keys.metadata import check_numbers
from extauth.keys.rotation import end_of_grace, successor
from extauth.keys.rules import KeyRules, attempted, lives_longer, reason_mistakes, refuse
from extauth.keys.token import KeyText, Peppers, hint, mint_key
from extauth.keys.views import differences
from extauth.model import ApiKey
from extauth.stores.base import (
    ALL_ENTRIES,
    ALL_KEYS,
    AuditEntry,
    AuditFilter,
    AuditPage,
    KeyFilter,
    KeyPage,
    KeyStore,
)

# How often a change without an expected version is tried again when somebody else was faster.
_ATTEMPTS = 20


class KeyService:
    """Manages keys. Every method may raise StoreError; those that hash may raise OverloadedError."""

    def __init__(
        self,
        *,
        store: KeyStore,
        hasher: SecretHasher,
        peppers: Peppers,
        clock: Clock,
        prefix: str,
        secret_length: int,
        rules: KeyRules,
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._peppers = peppers
        self._clock = clock
        self._prefix = prefix
        self._secret_length = secret_length
        self._rules = rules
        # Is told the ids of changed keys: a server sees what it did itself from its next check on.
        self.on_change: Callable[[Iterable[str]], None] = lambda _key_ids: None

    @property
    def policy(self) -> KeyPolicy:
        """What keys may be."""
        return self._rules.policy

    def judge_by(self, rules: KeyRules) -> None:
        """Judge all changes by these rules from now on."""
        self._rules = rules

    async def create(
        self,
        new: NewKey,
        by: Actor,
        *,
        misread: Misread = ALL_READ,
        before_adding: Callable[[str], Awaitable[None]] | None = None,
    ) -> IssuedKey:
        """Make a key. Raises InvalidInputError that names every mistake, and TooManyKeysError.

        `before_adding` is told the key's id; what it raises keeps the key from being made.
        """
        text, parts = self._mint(new.environment)
        record = self._judged(new, parts, by, misread, hint=hint(text))
        record = replace(record, hashed_key=await self._hasher.hash(parts.secret))
        if before_adding is not None:
            await before_adding(record.key_id)
        await self._add(record, by, "key.created")
        return IssuedKey(record, text)

    async def adopt(self, foreign: ForeignKey, new: NewKey, by: Actor) -> ApiKey:
        """Take in a key of another system, which goes on working as it is.

        Raises InvalidInputError, TooManyKeysError, and ConflictError where it was taken in before.
        """
        record = self.judge(foreign, new, by)
        record = replace(record, hashed_key=await self._hasher.hash(foreign.secret))
        await self._add(record, by, "key.imported")
        return record

    def judge(self, foreign: ForeignKey, new: NewKey, by: Actor, *, misread: Misread = ALL_READ) -> ApiKey:
        """Return the record that `adopt` would keep, but for its hash. Raises InvalidInputError."""
        parts = foreign.parts(self._peppers)
        return self._judged(new, parts, by, misread, hint=foreign.hint(parts.key_id), imported=True)

    async def restore(self, record: ApiKey, by: Actor) -> None:
        """Keep a record that another store exported, hash and all. Raises ConflictError where it is here."""
        await self._store.add(record, self._entry(by, "key.restored", None, record))

    async def get(self, key_id: str) -> ApiKey:
        """Return one record. Raises NotFoundError."""
        record = await self.find(key_id)
        if record is None:
            raise NotFoundError(f"no key {key_id!r}")
        return record

    async def find(self, key_id: str) -> ApiKey | None:
        """Return one record, None where there is none."""
        return await self._store.get(key_id)

    async def list(
        self, wanted: KeyFilter = ALL_KEYS, *, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first; it may be short, see `KeyPage`."""
        return await self._store.list(wanted, cursor=cursor, limit=limit)

    async def update(
        self,
        key_id: str,
        change: KeyChange,
        by: Actor,
        *,
        expected_version: int | None = None,
        misread: Misread = ALL_READ,
    ) -> ApiKey:
        """Change what a key is called and may do; where that is so already, nothing is changed.

        Raises NotFoundError, InvalidInputError, and ConflictError where the version is not the expected one.
        """
        asked = {name: value for name in KeyChange.__slots__ if (value := getattr(change, name)) is not UNSET}
        if isinstance(metadata := asked.get("metadata"), Mapping):
            _, misread = attempted(lambda: check_numbers(metadata), misread, otherwise=None)
        if isinstance(scopes := asked.get("scopes"), tuple):
            asked["scopes"] = tuple(dict.fromkeys(scopes))

        def changed(record: ApiKey) -> ApiKey:
            if record.revoked_at is not None:
                refuse([("", "a revoked key can't be changed")], misread)
            # By their text, because 1, 1.0 and true are equal to Python.
            is_so = all(repr(getattr(record, name)) == repr(value) for name, value in asked.items())
            if is_so and misread == ALL_READ:
                return record
            updated = replace(record, **asked)
            moved = {"expires_at"} & asked.keys() or record.expires_at is None
            now = self._now() if moved else record.created_at
            # Whoever lets a key live longer grants its scopes anew.
            held = () if lives_longer(record, updated) else record.scopes
            self._rules.check(updated, by, now=now, held=held, misread=misread)
            return updated

        return await self._change(key_id, changed, by, "key.updated", expected_version)

    async def disable(self, key_id: str, by: Actor, *, expected_version: int | None = None) -> ApiKey:
        """Refuse a key until it is enabled. Raises as `update`."""
        return await self._switch(key_id, by, on=False, expected_version=expected_version)

    async def enable(self, key_id: str, by: Actor, *, expected_version: int | None = None) -> ApiKey:
        """Let a disabled key pass again; a revoked one stays revoked. Raises as `update`."""
        return await self._switch(key_id, by, on=True, expected_version=expected_version)

    async def revoke(
        self,
        key_id: str,
        by: Actor,
        *,
        reason: str = "",
        expected_version: int | None = None,
        misread: Misread = ALL_READ,
    ) -> ApiKey:
        """End a key for good. Revoking a revoked key changes nothing. Raises as `update`."""
        refuse(reason_mistakes(reason), misread)

        def revoked(record: ApiKey) -> ApiKey:
            if record.revoked_at is not None:
                return record
            return replace(record, active=False, revoked_at=self._now(), revoked_reason=reason)

        return await self._change(key_id, revoked, by, "key.revoked", expected_version)

    async def rotate(
        self,
        key_id: str,
        by: Actor,
        *,
        grace: timedelta | None = None,
        expected_version: int | None = None,
        misread: Misread = ALL_READ,
    ) -> IssuedKey:
        """Make a new key with the settings of this one, which goes on working for the grace.

        The grace never outlives the old key's expiry, and the new key ends when the old one would have.
        Raises as `update`; a key that is revoked, expired or rotated already can't be rotated.
        """
        old = await self.get(key_id)
        if expected_version not in {None, old.version}:
            raise ConflictError(f"key {key_id} was changed meanwhile: it has version {old.version}")
        now = self._now()
        end, misread = attempted(lambda: end_of_grace(old, now, grace, self.policy), misread, otherwise=now)
        self._rules.check(replace(old, created_at=now), by, now=now, misread=misread)
        text, parts = self._mint(old.environment)
        new = successor(
            old,
            now,
            key_id=parts.key_id,
            hashed_key=await self._hasher.hash(parts.secret),
            hint=hint(text),
            pepper_id=self._peppers.newest_id,
        )
        ended = replace(old, rotated_to=new.key_id, rotated_at=now, grace_until=end, version=old.version + 1)
        rotated = self._entry(by, "key.rotated", old, ended)
        created = replace(self._entry(by, "key.created", None, new), at=rotated.at)
        await self._store.rotate(ended, new, (rotated, created))
        self.on_change((old.key_id, new.key_id))
        return IssuedKey(new, text)

    async def grace(self, key_id: str) -> GraceReport:
        """Return who still uses a rotated key. Raises NotFoundError."""
        return GraceReport(await self.get(key_id), await self._store.grace_use(key_id))

    async def purge(self, revoked_before: datetime, by: Actor) -> int:
        """Forget keys that were revoked before that time, for good; return how many."""
        purged = 0
        entry = self._entry(by, "key.purged", None, None)
        while key_ids := await self._store.purge(revoked_before, entry):
            purged += len(key_ids)
            self.on_change(key_ids)
        return purged

    async def audit(
        self, wanted: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 100
    ) -> AuditPage:
        """Return a page of the audit log, newest first."""
        return await self._store.audit(wanted, cursor=cursor, limit=limit)

    async def pepper_status(self) -> Sequence[PepperStatus]:
        """Return all peppers that are configured or that a living key still needs, the signing one first."""
        needed: Mapping[str, int] = await self._store.peppers()
        configured = self._peppers.ids
        return [
            PepperStatus(
                pepper_id=pepper_id,
                keys=needed.get(pepper_id, 0),
                configured=pepper_id in configured,
                signs=pepper_id == self._peppers.newest_id,
            )
            for pepper_id in dict.fromkeys([*configured, *sorted(needed)])
        ]

    async def _switch(self, key_id: str, by: Actor, *, on: bool, expected_version: int | None) -> ApiKey:
        def switched(record: ApiKey) -> ApiKey:
            if record.revoked_at is not None:
                if on:
                    raise InvalidInputError("a revoked key can't be enabled; make another")
                return record
            if record.active == on:
                return record
            if on:
                self._rules.check_grants(record, by)
            return replace(record, active=on)

        action = "key.enabled" if on else "key.disabled"
        return await self._change(key_id, switched, by, action, expected_version)

    async def _change(
        self,
        key_id: str,
        make: Callable[[ApiKey], ApiKey],
        by: Actor,
        action: str,
        expected_version: int | None,
    ) -> ApiKey:
        """Read, change and save a record; again from the start where somebody else was faster."""
        for _ in range(_ATTEMPTS):
            record = await self.get(key_id)
            if expected_version not in {None, record.version}:
                raise ConflictError(f"key {key_id} was changed meanwhile: it has version {record.version}")
            changed = make(record)
            if changed is record:
                return record
            changed = replace(changed, version=record.version + 1)
            try:
                await self._store.save(changed, self._entry(by, action, record, changed))
            except ConflictError:
                continue
            self.on_change((key_id,))
            return changed
        raise ConflictError(f"key {key_id} is being changed all the time")

    async def _add(self, record: ApiKey, by: Actor, action: str) -> None:
        entry = self._entry(by, action, None, record)
        await self._store.add(record, entry, most_of_user=self.policy.keys_per_user)
        self.on_change((record.key_id,))

    def _mint(self, environment: str) -> tuple[str, KeyText]:
        return mint_key(
            prefix=self._prefix,
            environment=environment,
            secret_length=self._secret_length,
            peppers=self._peppers,
        )

    def _judged(
        self, new: NewKey, parts: KeyText, by: Actor, misread: Misread, *, hint: str, imported: bool = False
    ) -> ApiKey:
        now = self._now()
        _, misread = attempted(lambda: check_numbers(new.metadata), misread, otherwise=None)
        end, misread = attempted(lambda: end_of(new, now, self.policy), misread, otherwise=None)
        newest = self._peppers.newest_id
        record = first_record(new, parts, now=now, end=end, hint=hint, pepper_id=newest, imported=imported)
        self._rules.check(record, by, now=now, ends_by=new.ends_by, misread=misread)
        return record

    def _entry(self, by: Actor, action: str, before: ApiKey | None, after: ApiKey | None) -> AuditEntry:
        old, new = differences(before, after)
        record = after or before
        return AuditEntry(
            at=self._now(),
            actor=by.name,
            source=by.source,
            action=action,
            key_id="" if record is None else record.key_id,
            before=old,
            after=new,
        )

    def _now(self) -> datetime:
        return from_us(self._clock.now_us())
