"""Everything that happens to a key between its creation and its end.

Whoever manages keys calls this, never a store.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from extauth.clock import Clock, from_us
from extauth.errors import ConflictError, InvalidInputError, NotFoundError
from extauth.keys.hashing import SecretHasher
from extauth.keys.scopes import is_scope
from extauth.keys.token import Peppers, hint, mint_key
from extauth.model import ApiKey
from extauth.stores.base import KeyPage, KeyStore

# Scopes and user id travel in answer headers, which must stay below 4 kB together.
MOST_SCOPES = 32
LONGEST_SCOPES = 1_024
LONGEST_USER_ID = 128
LONGEST_NAME = 128
_USER_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What somebody asks for. `lifetime` None means that the key never expires."""

    user_id: str
    name: str
    tier: str
    environment: str
    scopes: tuple[str, ...] = ()
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new record with the key's full text, which exists here and nowhere else."""

    record: ApiKey
    text: str

    def __repr__(self) -> str:
        """Show no secret."""
        return f"IssuedKey({self.record.hint})"


class KeyService:
    """Creates, lists and revokes keys."""

    def __init__(
        self,
        *,
        store: KeyStore,
        hasher: SecretHasher,
        peppers: Peppers,
        clock: Clock,
        prefix: str,
        secret_length: int,
        tiers: Collection[str],
        environments: Collection[str],
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._peppers = peppers
        self._clock = clock
        self._prefix = prefix
        self._secret_length = secret_length
        self._tiers = tiers
        self._environments = environments

    async def create(self, new: NewKey) -> IssuedKey:
        """Make a key. Raises InvalidInputError that names every mistake."""
        if mistakes := self._mistakes(new):
            raise InvalidInputError("; ".join(mistakes))
        text, parts = mint_key(
            prefix=self._prefix,
            environment=new.environment,
            secret_length=self._secret_length,
            peppers=self._peppers,
        )
        now = from_us(self._clock.now_us())
        record = ApiKey(
            key_id=parts.key_id,
            hashed_key=await self._hasher.hash(parts.secret),
            hint=hint(text),
            user_id=new.user_id,
            name=new.name,
            tier=new.tier,
            scopes=tuple(dict.fromkeys(new.scopes)),
            environment=new.environment,
            created_at=now,
            expires_at=_end_of(now, new.lifetime),
        )
        await self._store.add(record)
        return IssuedKey(record, text)

    async def get(self, key_id: str) -> ApiKey:
        """Return one record. Raises NotFoundError."""
        record = await self._store.get(key_id)
        if record is None:
            raise NotFoundError(f"no key {key_id!r}")
        return record

    async def list(
        self, *, user_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> KeyPage:
        """Return a page of records, oldest first."""
        return await self._store.list(user_id=user_id, cursor=cursor, limit=limit)

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key for good. Revoking a revoked key changes nothing. Raises NotFoundError."""
        while True:
            record = await self.get(key_id)
            if record.revoked_at is not None:
                return record
            revoked = replace(
                record, active=False, revoked_at=from_us(self._clock.now_us()), version=record.version + 1
            )
            try:
                await self._store.save(revoked)
            except ConflictError:
                # Somebody changed the key meanwhile; whatever it was, the revocation still has to come about.
                continue
            return revoked

    def _mistakes(self, new: NewKey) -> Sequence[str]:
        mistakes = []
        if _USER_ID.fullmatch(new.user_id) is None:
            mistakes.append(
                f"the user id needs 1 to {LONGEST_USER_ID} printable ASCII characters without spaces"
            )
        if not 1 <= len(new.name) <= LONGEST_NAME or not new.name.isprintable():
            mistakes.append(f"the name needs 1 to {LONGEST_NAME} printable characters")
        if new.tier not in self._tiers:
            mistakes.append(f"there is no tier {new.tier!r}; there is {_listed(self._tiers)}")
        if new.environment not in self._environments:
            mistakes.append(
                f"there is no environment {new.environment!r}; there is {_listed(self._environments)}"
            )
        mistakes += [
            f"{scope!r} is not a scope; scopes look like orders:read or orders:*"
            for scope in new.scopes
            if not is_scope(scope)
        ]
        if len(new.scopes) > MOST_SCOPES or len(" ".join(new.scopes)) > LONGEST_SCOPES:
            mistakes.append(
                f"a key holds at most {MOST_SCOPES} scopes and {LONGEST_SCOPES} characters of them"
            )
        if new.lifetime is not None and new.lifetime <= timedelta(0):
            mistakes.append("the lifetime must be longer than nothing")
        return mistakes


def _end_of(now: datetime, lifetime: timedelta | None) -> datetime | None:
    if lifetime is None:
        return None
    try:
        return now + lifetime
    except OverflowError as error:
        raise InvalidInputError("the lifetime ends beyond the calendar") from error


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
