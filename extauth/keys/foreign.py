"""Keys that another system made: found by a keyed digest, verified like all others.

Their text holds no id, so the id is made from the text: an HMAC of its SHA-256 under a pepper. What argon2
hashes is the SHA-256, in hexadecimal, so that a key can be taken in by its text as well as by its SHA-256
alone, which is what many systems store. A copy of the store without the pepper can't even be searched.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Self

from extauth.errors import InvalidInputError
from extauth.keys.token import KEY_ID_LENGTH, KeyText, Peppers, to_base62

SHORTEST_TEXT = 16
LONGEST_TEXT = 512
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What a header can hold, without the comma that joins lines.
_TEXT = re.compile(rb"[!-+\--~]+")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One such key. `secret` is the SHA-256 of its text in hexadecimal; `ending` the last four, if known."""

    secret: str
    ending: str = ""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"ForeignKey(…{self.ending})"

    def hint(self, key_id: str) -> str:
        """Return what may be shown of it under the id that it has here."""
        return f"imported_{key_id}_…{self.ending}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Take a key by its full text. Raises InvalidInputError where it can't be a key."""
        raw = text.encode()
        if not SHORTEST_TEXT <= len(raw) <= LONGEST_TEXT or _TEXT.fullmatch(raw) is None:
            mistake = (
                f"a key has {SHORTEST_TEXT} to {LONGEST_TEXT} printable ASCII characters, "
                "no space and no comma among them"
            )
            raise InvalidInputError.of([("key", mistake)])
        return cls(digest_of(raw), text[-4:])

    @classmethod
    def from_sha256(cls, digest: str) -> Self:
        """Take a key by the SHA-256 of its text, in hexadecimal. Raises InvalidInputError."""
        lowered = digest.lower()
        if _SHA256.fullmatch(lowered) is None:
            raise InvalidInputError.of([("sha256", "a SHA-256 has 64 hexadecimal digits")])
        return cls(lowered)

    def parts(self, peppers: Peppers) -> KeyText:
        """Return the parts of the key under the newest pepper, as of a minted one."""
        return KeyText("", "", foreign_ids(self.secret, peppers)[0], self.secret, "")


def digest_of(text: bytes) -> str:
    """Return the SHA-256 of a key's text in hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def foreign_ids(secret: str, peppers: Peppers) -> list[str]:
    """Return the ids that such a key may have, one for each pepper, newest first."""
    label = b"extauth foreign key id:"
    return [
        to_base62(hmac.digest(pepper, label + secret.encode(), "sha256"), KEY_ID_LENGTH)
        for pepper in peppers.secrets
    ]
