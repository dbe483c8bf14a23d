"""Creation that may be repeated: the same request under the same idempotency key makes one API key.

A client that never saw the answer may ask again (draft-ietf-httpapi-idempotency-key-header). The secret can't
be told twice, since nobody kept it: a repetition gets the record alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from datetime import timedelta

import orjson

from extauth.clock import Clock, from_us
from extauth.errors import ConflictError, InvalidInputError, StoreError
from extauth.keys.asked import ALL_READ, Actor, IssuedKey, Misread, NewKey
from extauth.keys.service import KeyService
from extauth.model import ApiKey
from extauth.stores.base import Claim, KeyStore

REMEMBERED = timedelta(hours=24)
# After so long a creation that has left no record is given up for dead, and may be done by another.
ABANDONED = timedelta(seconds=30)
LONGEST_KEY = 255


class _ClaimedError(Exception):
    """Somebody else has the name already."""

    def __init__(self, claim: Claim) -> None:
        super().__init__()
        self.claim = claim


class RepeatableCreation:
    """Creates keys under idempotency keys."""

    def __init__(self, service: KeyService, store: KeyStore, clock: Clock) -> None:
        self._service = service
        self._store = store
        self._clock = clock

    async def create(
        self, new: NewKey, by: Actor, idempotency_key: str, *, misread: Misread = ALL_READ
    ) -> IssuedKey | ApiKey:
        """Make the key, or return the record of the one that the same request made before.

        Raises what `KeyService.create` raises; InvalidInputError where the name stands for another request;
        ConflictError while the first one is under way.
        """
        if not 1 <= len(idempotency_key) <= LONGEST_KEY or not idempotency_key.isprintable():
            mistake = f"has 1 to {LONGEST_KEY} printable characters"
            misread = misread.also(("Idempotency-Key", mistake))
        if misread != ALL_READ:
            # Raises, with what else is wrong about the key.
            return await self._service.create(new, by, misread=misread)
        # Hashed, because clients choose it.
        name = hashlib.sha256(f"{by.name}\n{idempotency_key}".encode()).hexdigest()
        fingerprint = _fingerprint(new)
        try:
            return await self._create(new, by, name, fingerprint, REMEMBERED)
        except _ClaimedError as claimed:
            claim = claimed.claim
        if claim.fingerprint != fingerprint:
            mistake = "was used for another request; take another for this one"
            raise InvalidInputError.of([("Idempotency-Key", mistake)])
        if (record := await self._store.get(claim.key_id)) is not None:
            return record
        try:
            return await self._create(new, by, name, fingerprint, ABANDONED)
        except _ClaimedError:
            raise ConflictError("the first request under this idempotency key is still under way") from None

    async def _create(
        self, new: NewKey, by: Actor, name: str, fingerprint: str, remembered: timedelta
    ) -> IssuedKey:
        mine: list[Claim] = []

        async def claim(key_id: str) -> None:
            now = from_us(self._clock.now_us())
            wanted = Claim(fingerprint=fingerprint, key_id=key_id, at=now)
            held = await self._store.claim(name, wanted, stale_before=now - remembered)
            if held.key_id != key_id:
                raise _ClaimedError(held)
            mine.append(wanted)

        try:
            return await self._service.create(new, by, before_adding=claim)
        except ConflictError:
            # Nothing was made, and nobody has to wait to find that out. What else fails may yet come about.
            for claimed in mine:
                with contextlib.suppress(StoreError):
                    await self._store.release(name, claimed)
            raise


def _fingerprint(new: NewKey) -> str:
    fields = {name: getattr(new, name) for name in NewKey.__dataclass_fields__}
    text = orjson.dumps(fields, default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()
