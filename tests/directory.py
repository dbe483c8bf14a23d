"""A key directory with all that it works with, in a test's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from extauth.clock import to_us
from extauth.keys.directory import CacheSizes, KeyDirectory, Rejection
from extauth.keys.hashing import SecretHasher
from extauth.keys.presented import TextReader
from extauth.keys.records import KeyRecords
from extauth.keys.token import BASE62, KeyText
from extauth.model import ApiKey
from tests.fakes import FakeClock, MemoryKeyStore
from tests.keys import CHEAP, PEPPERS, entry, mint, record_for


class Entry:
    """A compiled record, as simple as can be."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.standing: object = None

    def refusal(self, now_us: int) -> str:
        """Return why the key may not be used now, or an empty text."""
        if self.key.revoked_at is not None:
            return "revoked"
        if not self.key.active:
            return "disabled"
        return "expired" if self.key.expires_at and now_us >= to_us(self.key.expires_at) else ""


class Rig:
    """A directory, and all that it works with."""

    def __init__(
        self,
        *,
        sizes: CacheSizes | None = None,
        records: int = 100,
        is_shared: bool = False,
        **reading: bool,
    ) -> None:
        self.store = MemoryKeyStore(is_shared=is_shared)
        self.hasher = SecretHasher(CHEAP, workers=1, queue=2)
        self.clock = FakeClock()
        self.compiled = 0
        self.records: KeyRecords[Entry] = KeyRecords(self.store, self._compile, size=records)
        self.verified: list[str] = []
        self.directory: KeyDirectory[Entry] = KeyDirectory(
            records=self.records,
            reader=TextReader(PEPPERS, **reading),
            hasher=self.hasher,
            clock=self.clock,
            sizes=sizes or CacheSizes(),
            on_verified=lambda key, _secret: self.verified.append(key.key_id),
        )

    def _compile(self, key: ApiKey) -> Entry:
        self.compiled += 1
        return Entry(key)

    async def issue(self, **changes: Any) -> tuple[bytes, KeyText]:
        """Put a new key in the store, with a real hash of its secret."""
        text, parts = mint()
        hashed = await self.hasher.hash(parts.secret)
        await self.store.add(record_for(text, parts, **{"hashed_key": hashed, **changes}), entry())
        return text.encode(), parts

    async def change(self, key_id: str, **changes: Any) -> None:
        """Change a key behind the directory's back, as another process does."""
        record = await self.store.get(key_id)
        assert record is not None
        await self.store.save(replace(record, version=record.version + 1, **changes), entry())

    async def ask(self, text: bytes) -> Entry | Rejection:
        """Ask as the check does: what is at hand first."""
        return self.directory.recall(text) or await self.directory.identify(text)

    async def refused(self, text: bytes) -> Rejection:
        """Ask, and expect a refusal."""
        answer = await self.ask(text)
        assert isinstance(answer, Rejection)
        return answer


@asynccontextmanager
async def rig(**options: Any) -> AsyncIterator[Rig]:
    """Open a rig."""
    made = Rig(**options)
    try:
        yield made
    finally:
        made.hasher.close()


def forged(text: bytes) -> bytes:
    """Return a key with one character of the secret changed, under the old tag."""
    wrong = BASE62[BASE62.index(chr(text[-20])) - 1].encode()
    return text[:-20] + wrong + text[-19:]


def with_wrong_secret(parts: KeyText) -> bytes:
    """Return a key with another secret under a right tag: what only somebody who has the pepper can make."""
    body = parts.body[: -len(parts.secret)] + "0" * len(parts.secret)
    return (body + PEPPERS.tag(body)).encode()
