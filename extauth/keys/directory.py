"""From key text to the key's entry: who is calling.

At hand for a key that was seen before, else from the store and argon2. Two things are remembered apart. The
verified cache says only "this secret belongs to the key of this entry"; it is keyed by a MAC of the text
under a secret of this process, so that it holds nothing that authenticates. Whether the entry is still the
one of its key, which says what state it is in, the records know: those are never out of date (`records.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, Protocol

from extauth.bounded import BoundedCache
from extauth.clock import Clock
from extauth.errors import OverloadedError, SecretMismatchError, StoreError
from extauth.keys.hashing import SecretHasher
from extauth.keys.presented import Candidate, TextReader
from extauth.keys.records import ABSENT, Absent, Entry, KeyRecords
from extauth.keys.token import looks_like_key
from extauth.limits import token_bucket
from extauth.limits.algorithm import BucketState
from extauth.model import ApiKey, Limit
from extauth.parts import part
from extauth.patience import Patience

# How long a text that was refused is refused without looking at it again, in microseconds.
REJECTED_FOR_US = 60_000_000
# The same where it might be a key of another system, which may be taken in at any time.
UNKNOWN_FOR_US = 2_000_000
# How many texts without a fitting tag may fail in argon2: 30 at once, and 30 more each minute.
UNTAGGED_FAILURES = Limit("untagged", 30, 30, 60_000_000)
_ONE_FAILURE = token_bucket.prepare(UNTAGGED_FAILURES, 1)


class Rejection(NamedTuple):
    """The text is no usable key.

    `reason` and `key_id` are for operators only; the id is empty where the text can't be trusted to hold one.
    With `retry_after`, in whole seconds, nobody has looked whether the secret is right: the key is banned.
    """

    reason: str
    key_id: str = ""
    retry_after: int = 0


class TryGuard(Protocol):
    """Says how often unknown secrets may be tried for a key, and hears of those that are wrong."""

    def wait_to_try(self, key_id: str, address: str, now_us: int) -> int:
        """Return 0 where argon2 may compare a secret for this key now, else after how many seconds it may."""
        ...

    def wrong_secret(self, key_id: str, now_us: int) -> None:
        """Hear that a secret whose tag fits is wrong all the same."""
        ...


class Unguarded:
    """Lets every secret be tried. See `TryGuard`."""

    def wait_to_try(self, key_id: str, address: str, now_us: int) -> int:  # noqa: ARG002 - of the protocol
        """Let it be tried."""
        return 0

    def wrong_secret(self, key_id: str, now_us: int) -> None:
        """Hear it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSizes:
    """How many of the entries used last each cache is sure to hold."""

    verified: int = 100_000
    rejected: int = 10_000


class KeyDirectory(Generic[Entry]):
    """Recognises keys. `on_verified` is told record and secret each time argon2 has found them to fit."""

    def __init__(
        self,
        *,
        records: KeyRecords[Entry],
        reader: TextReader,
        hasher: SecretHasher,
        clock: Clock,
        sizes: CacheSizes,
        on_verified: Callable[[ApiKey, str], None] = lambda _key, _secret: None,
        guard: TryGuard | None = None,
    ) -> None:
        self._records = records
        self._at_hand = records.at_hand
        self._is_shared = records.is_shared
        self._reader = reader
        self._hasher = hasher
        self._clock = clock
        self._on_verified = on_verified
        self._guard = guard or Unguarded()
        self._mac = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=16)
        self._verified: BoundedCache[bytes, Entry] = BoundedCache(sizes.verified)
        self._rejected: BoundedCache[bytes, tuple[Rejection, int]] = BoundedCache(sizes.rejected)
        self._flights: dict[bytes, asyncio.Task[Rejection | None]] = {}
        self._failures: BucketState | None = None

    def recall(self, text: bytes) -> Entry | Rejection | None:
        """Return who this is if that is at hand, without waiting; None where `identify` has to find out."""
        mac = self._mac.copy()
        mac.update(text)
        digest = mac.digest()
        entry = self._verified.get(digest)
        # One look-up instead of two: where many keys are in use, each waits for memory that is in no cache.
        if entry is not None and entry.standing is self._records.standing and not self._is_shared:
            return entry
        return self._find(text, digest, self._at_hand)

    def recognise(self, text: bytes) -> Entry | Rejection | None:
        """Do as `recall`, also where the store is shared: whoever uses the entry must have it confirmed."""
        mac = self._mac.copy()
        mac.update(text)
        digest = mac.digest()
        entry = self._verified.get(digest)
        if entry is not None and entry.standing is self._records.standing:
            return entry
        return self._find(text, digest, self._records.remembered)

    def _find(
        self, text: bytes, digest: bytes, find: Callable[[str], Entry | Absent | None]
    ) -> Entry | Rejection | None:
        key_id = self._verified_id(digest)
        if key_id is None:
            return self._refuse_early(text, digest)
        entry = find(key_id)
        if entry is ABSENT:
            return Rejection("unknown key id", key_id)
        if entry is not None:
            self._verified.keep(digest, entry)
        return entry

    def is_good(self, text: bytes, now_us: int) -> bool:
        """Tell whether the secret was found right before, and nothing that is known of its key refuses it."""
        key_id = self._verified_id(self._digest(text))
        if key_id is None:
            return False
        entry = self._records.remembered(key_id)
        return entry is None or not entry.refusal(now_us)

    def issued_id(self, text: bytes, now_us: int) -> str:
        """Return the id of a key whose tag says it was issued here; empty where it is known to be no good."""
        if self._refuse_early(text, self._digest(text)):
            return ""
        key_id = self.claimed_id(text)
        entry = self._records.remembered(key_id) if key_id else None
        return key_id if entry is None or not entry.refusal(now_us) else ""

    def claimed_id(self, text: bytes) -> str:
        """Return the id of the key that the text claims to be, where its tag fits; else an empty text."""
        own = self._reader.own(text)
        return "" if own is None else own.key_id

    def is_current(self, entry: Entry) -> bool:
        """Tell whether this is what is remembered of its key."""
        return self._records.remembered(entry.key.key_id) is entry

    def forget(self, key_id: str) -> None:
        """Drop what is known of a key's state."""
        self._records.forget((key_id,))

    async def current(self, key_id: str) -> Entry | Rejection:
        """Return a key as the store has it now; its secret was verified before. Raises StoreError."""
        entry = await self._records.current(key_id)
        return Rejection("unknown key id", key_id) if entry is ABSENT else entry

    async def identify(
        self, text: bytes, *, patience: Patience | None = None, address: str = ""
    ) -> Entry | Rejection:
        """Find out who this is: read the record as it is now, verify the secret.

        `address` is who asks, for the guard. With `patience` the store is waited for no longer than that, and
        the record may be one that is remembered: whoever uses it must have it confirmed. Raises StoreError,
        and OverloadedError where too many secrets wait to be verified.
        """
        read = self._reader_of_records(patience)
        digest = self._digest(text)
        key_id = self._verified_id(digest)
        if key_id is not None:
            entry = await read(key_id)
            return Rejection("unknown key id", key_id) if entry is ABSENT else entry
        if rejection := self._refuse_early(text, digest):
            return rejection
        candidates = self._reader.candidates(text)
        for candidate in candidates:
            entry = await read(candidate.key_id)
            if entry is not ABSENT:
                return await self._verify(candidate, digest, entry, patience, address)
        if len(candidates) == 1 and candidates[0].tagged and not self._reader.imported:
            return Rejection("unknown key id", candidates[0].key_id)
        return self._reject(digest, Rejection("unknown key"), UNKNOWN_FOR_US)

    def _refuse_early(self, text: bytes, digest: bytes) -> Rejection | None:
        """Refuse what is no key of this server, or known to be of no use, at the cost of one HMAC."""
        rejected = self._rejected.get(digest) or self._rejected.revive(digest)
        if rejected is not None and self._clock.now_us() < rejected[1]:
            return rejected[0]
        candidates = self._reader.candidates(text)
        if not candidates:
            is_key = looks_like_key(text.decode("latin-1"))
            return self._reject(digest, Rejection("tag does not fit" if is_key else "malformed"))
        if len(candidates) > 1:
            return None
        key_id = candidates[0].key_id
        entry = self._at_hand(key_id)
        if entry is ABSENT:
            return Rejection("unknown key id", key_id)
        # Whoever goes on sending a revoked key costs the store nothing.
        if entry is not None and (reason := entry.refusal(self._clock.now_us())):
            return Rejection(reason, key_id)
        return None

    async def _verify(
        self, candidate: Candidate, digest: bytes, entry: Entry, patience: Patience | None, address: str
    ) -> Entry | Rejection:
        """Compare the secret: once for all who ask at the same time."""
        # A key that may not be used is refused before its secret costs any argon2.
        if reason := await self._refusal(entry, patience):
            return Rejection(reason, candidate.key_id)
        flight = self._flights.get(digest)
        if flight is None:
            if wait := self._guard.wait_to_try(candidate.key_id, address, self._clock.now_us()):
                return Rejection("banned", candidate.key_id, wait)
            flight = self._flights[digest] = asyncio.create_task(self._compare(candidate, digest, entry))
            flight.add_done_callback(lambda _: self._flights.pop(digest, None))
        # A client that leaves must not end the verification that others wait for.
        with part("argon2"):
            rejection = await asyncio.shield(flight)
        if rejection is not None:
            return rejection
        # The key may have changed while argon2 was at work.
        now = self._at_hand(candidate.key_id) or await self._reader_of_records(patience)(candidate.key_id)
        return Rejection("unknown key id", candidate.key_id) if now is ABSENT else now

    def _reader_of_records(self, patience: Patience | None) -> Callable[[str], Awaitable[Entry | Absent]]:
        return self._records.current if patience is None else partial(self._records.known, patience=patience)

    async def _refusal(self, entry: Entry, patience: Patience | None) -> str:
        """Return why a key may not be used, or an empty text.

        A record that is only remembered may be out of date, and a refusal for it is confirmed by nobody else.
        """
        reason = entry.refusal(self._clock.now_us())
        if not reason or patience is None:
            return reason
        try:
            now = await self._records.current(entry.key.key_id, patience)
        except StoreError:
            # As far as is known.
            return reason
        return "unknown key id" if now is ABSENT else now.refusal(self._clock.now_us())

    async def _compare(self, candidate: Candidate, digest: bytes, entry: Entry) -> Rejection | None:
        if not candidate.tagged:
            self._spend_failure(0)
        try:
            await self._hasher.verify(entry.key.hashed_key, candidate.secret)
        except SecretMismatchError:
            if candidate.tagged:
                self._guard.wrong_secret(candidate.key_id, self._clock.now_us())
            else:
                self._spend_failure(1)
            return self._reject(digest, Rejection("wrong secret", candidate.key_id))
        self._verified.keep(digest, entry)
        self._on_verified(entry.key, candidate.secret)
        return None

    def _spend_failure(self, cost: int) -> None:
        """Take from the budget of untagged texts that may fail; with a cost of 0 only look.

        Raises OverloadedError where it is spent: strangers are burning argon2, and nobody can tell them from
        the holders of old keys.
        """
        now_us = self._clock.now_us()
        allowed, state = token_bucket.step(self._failures, _ONE_FAILURE, now_us)
        if cost:
            self._failures = state
        elif not allowed:
            *_, retry_us = token_bucket.tell(UNTAGGED_FAILURES, 1, allowed, state, now_us)
            wait = -(-retry_us // 1_000_000)
            raise OverloadedError("too many keys without a fitting tag were wrong", retry_after=wait)

    def _verified_id(self, digest: bytes) -> str | None:
        """Return whose key it is that was verified, whatever became of it since."""
        entry = self._verified.get(digest) or self._verified.revive(digest)
        return None if entry is None else entry.key.key_id

    def _reject(self, digest: bytes, rejection: Rejection, for_us: int = REJECTED_FOR_US) -> Rejection:
        self._rejected.keep(digest, (rejection, self._clock.now_us() + for_us))
        return rejection

    def _digest(self, text: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(text)
        return mac.digest()
