"""From key text to the key's entry: who is calling.

At hand for a key that was seen before, else from the store and argon2. Two things are remembered apart. The
verified cache says only "this secret belongs to this key id"; it is keyed by a MAC of the text under a secret
of this process, so that it holds nothing that authenticates. The entries hold the state of a key, and are
dropped as soon as the store says that the key has changed: no lifetime stands between a revocation and its
effect.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from extauth.bounded import BoundedCache
from extauth.clock import Clock
from extauth.errors import MalformedKeyError, SecretMismatchError
from extauth.keys.hashing import SecretHasher
from extauth.keys.token import KeyText, Peppers, parse_key
from extauth.model import ApiKey
from extauth.stores.base import KeyStore

# How long a text that was refused is refused without looking at it again, in microseconds.
REJECTED_FOR_US = 60_000_000


class KeyEntry(Protocol):
    """What a record is compiled to when it is loaded."""

    def refusal(self, now_us: int) -> str:
        """Return why the key may not be used now, or an empty text."""
        ...


Entry = TypeVar("Entry", bound=KeyEntry)


class Rejection(NamedTuple):
    """The text is no usable key.

    Both fields are for operators only; `key_id` is empty where the text can't be trusted to hold one.
    """

    reason: str
    key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSizes:
    """How many entries each cache may hold."""

    verified: int = 100_000
    records: int = 100_000
    rejected: int = 10_000


class _Absent(enum.Enum):
    """Remembered in the place of an entry where the store holds no such key."""

    ABSENT = "absent"


_ABSENT: Final = _Absent.ABSENT


class KeyDirectory(Generic[Entry]):
    """Recognises keys.

    `compile_entry` turns a record into what the check needs; it is called once for each load.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        peppers: Peppers,
        hasher: SecretHasher,
        clock: Clock,
        compile_entry: Callable[[ApiKey], Entry],
        sizes: CacheSizes,
    ) -> None:
        self._store = store
        self._peppers = peppers
        self._hasher = hasher
        self._clock = clock
        self._compile = compile_entry
        self._mac = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._verified: BoundedCache[bytes, str] = BoundedCache(sizes.verified)
        self._entries: BoundedCache[str, Entry | _Absent] = BoundedCache(sizes.records)
        self._rejected: BoundedCache[bytes, tuple[Rejection, int]] = BoundedCache(sizes.rejected)
        self._flights: dict[bytes, asyncio.Task[Entry | Rejection]] = {}
        self._changes_seen = 0

    def recall(self, text: bytes) -> Entry | Rejection | None:
        """Return who this is if that is at hand, without waiting; None where `identify` has to find out."""
        mac = self._mac.copy()
        mac.update(text)
        digest = mac.digest()
        key_id = self._verified.get(digest) or self._verified.revive(digest)
        if key_id is None:
            rejected = self._rejected.get(digest) or self._rejected.revive(digest)
            if rejected is not None and self._clock.now_us() < rejected[1]:
                return rejected[0]
            return self._refuse_early(text, digest)
        entry = self._entries.get(key_id) or self._entries.revive(key_id)
        return Rejection("unknown key id", key_id) if entry is _ABSENT else entry

    def _refuse_early(self, text: bytes, digest: bytes) -> Rejection | None:
        """Refuse what is no key of this server, or known to be of no use, at the cost of one HMAC."""
        try:
            key = parse_key(text.decode("latin-1"))
            self._peppers.verify(key.body, key.tag)
        except MalformedKeyError:
            return self._reject(digest, Rejection("malformed"))
        except SecretMismatchError:
            return self._reject(digest, Rejection("tag does not fit"))
        entry = self._entries.get(key.key_id) or self._entries.revive(key.key_id)
        if entry is _ABSENT:
            return Rejection("unknown key id", key.key_id)
        # Whoever goes on sending a revoked key costs the store nothing.
        if entry is not None and (reason := entry.refusal(self._clock.now_us())):
            return Rejection(reason, key.key_id)
        return None

    def _reject(self, digest: bytes, rejection: Rejection) -> Rejection:
        self._rejected.keep(digest, (rejection, self._clock.now_us() + REJECTED_FOR_US))
        return rejection

    async def identify(self, text: bytes) -> Entry | Rejection:
        """Find out who this is: read the record, verify the secret.

        One flight for all who ask at the same time. Raises StoreError, and OverloadedError where too many
        secrets wait to be verified.
        """
        digest = self._digest(text)
        flight = self._flights.get(digest)
        if flight is None:
            flight = asyncio.create_task(self._resolve(text, digest))
            self._flights[digest] = flight
            flight.add_done_callback(lambda _: self._flights.pop(digest, None))
        # A client that leaves must not end the verification that others wait for.
        return await asyncio.shield(flight)

    async def _resolve(self, text: bytes, digest: bytes) -> Entry | Rejection:
        if rejection := self._refuse_early(text, digest):
            return rejection
        key = parse_key(text.decode("latin-1"))
        loaded = await self._load(key.key_id)
        if loaded is None:
            return Rejection("unknown key id", key.key_id)
        record, entry = loaded
        if self._verified.get(digest) is not None:
            return entry
        # A key that may not be used is refused before its secret costs any argon2.
        if reason := entry.refusal(self._clock.now_us()):
            return Rejection(reason, key.key_id)
        return await self._verify(key, digest, record.hashed_key)

    async def _verify(self, key: KeyText, digest: bytes, hashed_key: str) -> Entry | Rejection:
        try:
            await self._hasher.verify(hashed_key, key.secret)
        except SecretMismatchError:
            return self._reject(digest, Rejection("wrong secret", key.key_id))
        self._verified.keep(digest, key.key_id)
        # The key may have changed while argon2 was at work; if so its entry is gone and this reads it anew.
        entry = self._entries.get(key.key_id)
        if entry is None:
            loaded = await self._load(key.key_id)
            entry = _ABSENT if loaded is None else loaded[1]
        return Rejection("unknown key id", key.key_id) if entry is _ABSENT else entry

    async def _load(self, key_id: str) -> tuple[ApiKey, Entry] | None:
        while True:
            changes_seen = self._changes_seen
            record = await self._store.get(key_id)
            if changes_seen == self._changes_seen:
                break
            # A change was noticed meanwhile; whether this record has it is unknown, so it is read again.
        if record is None:
            self._entries.keep(key_id, _ABSENT)
            return None
        entry = self._compile(record)
        self._entries.keep(key_id, entry)
        return record, entry

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drop the state of keys that have changed; the next check of each reads the store."""
        self._changes_seen += 1
        for key_id in key_ids:
            self._entries.forget(key_id)

    def forget_all(self) -> None:
        """Drop the state of all keys: nobody knows what has changed."""
        self._changes_seen += 1
        self._entries.forget_all()

    def _digest(self, text: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(text)
        return mac.digest()
