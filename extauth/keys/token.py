"""Key text: `<prefix>_<environment>_<key id>_<secret><tag>`.

Minting, taking apart, and the tag that only this server can make. The tag is a truncated HMAC of everything
before it under the server's pepper. A stranger can't make one, so text that was never issued here is refused
in microseconds and can't burn any argon2 time.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from collections.abc import Sequence
from typing import NamedTuple

from extauth.errors import MalformedKeyError, SecretMismatchError

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
KEY_ID_LENGTH = 12
TAG_LENGTH = 8
SHORTEST_SECRET = 22  # 62**22 > 2**128
LONGEST_SECRET = 86  # 62**86 > 2**512
SHORTEST_PEPPER = 32  # characters; 128 bits even where they are hexadecimal digits

_KEY_TEXT = re.compile(
    r"(?P<body>(?P<prefix>[a-z][a-z0-9]{0,15})_(?P<environment>[a-z][a-z0-9]{0,15})"
    rf"_(?P<key_id>[0-9A-Za-z]{{{KEY_ID_LENGTH}}})"
    rf"_(?P<secret>[0-9A-Za-z]{{{SHORTEST_SECRET},{LONGEST_SECRET}}}))(?P<tag>[0-9A-Za-z]{{{TAG_LENGTH}}})"
)
# Anything in a text that could be one of our keys, whole or cut off: what must not appear in a log. It takes
# in all that follows in the same shape, because of a key right behind another one the beginning was taken for
# that one's end. In a path an underscore may also be written as an escape.
_JOINT = "(?:_|%5[Ff])"
_LABEL = "[a-z][a-z0-9]{0,15}"
_ID = f"[0-9A-Za-z]{{{KEY_ID_LENGTH}}}"
_KEY_LIKE = re.compile(
    f"({_LABEL}{_JOINT}{_LABEL}{_JOINT}{_ID})(?:{_JOINT}(?:{_LABEL}{_JOINT}{_ID}{_JOINT})?[0-9A-Za-z]{{8,}})+"
)


class KeyText(NamedTuple):
    """A key taken apart; `body` is what the tag covers."""

    body: str
    environment: str
    key_id: str
    secret: str
    tag: str


class Peppers:
    """The server's secrets behind the tags, newest first: the newest signs, all verify."""

    __slots__ = ("_peppers", "ids")

    def __init__(self, peppers: Sequence[str]) -> None:
        if not peppers:
            raise ValueError("at least one pepper is needed")
        self._peppers = tuple(pepper.encode() for pepper in peppers)
        # What records and people call them: nothing can be learnt from these.
        self.ids = tuple(
            hmac.digest(pepper, b"extauth pepper id", "sha256")[:4].hex() for pepper in self._peppers
        )

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Peppers({', '.join(self.ids)})"

    @property
    def newest_id(self) -> str:
        """The id of the pepper that signs."""
        return self.ids[0]

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The peppers themselves, newest first, for other keyed digests."""
        return self._peppers

    def tag(self, body: str) -> str:
        """Return the tag for a new key."""
        return _tag(self._peppers[0], body)

    def verify(self, body: str, tag: str) -> None:
        """Raise SecretMismatchError unless this server made the tag; the time tells nothing."""
        for pepper in self._peppers:
            if hmac.compare_digest(_tag(pepper, body), tag):
                return
        raise SecretMismatchError("the tag does not fit the key")


def _tag(pepper: bytes, body: str) -> str:
    # 128 bits of the digest modulo 62**8 (47.6 bits) is uniform to within 2**-80.
    return to_base62(hmac.digest(pepper, body.encode(), "sha256")[:16], TAG_LENGTH)


def to_base62(digest: bytes, length: int) -> str:
    """Return so many base62 digits of a digest, taken as one number."""
    number = int.from_bytes(digest, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(BASE62))
        digits.append(BASE62[digit])
    return "".join(digits)


def parse_key(text: str) -> KeyText:
    """Take a key apart, or raise MalformedKeyError.

    The prefix is not compared: the tag covers it, and it may have changed.
    """
    match = _KEY_TEXT.fullmatch(text)
    if match is None:
        raise MalformedKeyError("not shaped like a key")
    return KeyText(match["body"], match["environment"], match["key_id"], match["secret"], match["tag"])


def random_base62(length: int) -> str:
    """Return random base62 text: 5.95 bits a character."""
    return "".join(secrets.choice(BASE62) for _ in range(length))


def mint_key(*, prefix: str, environment: str, secret_length: int, peppers: Peppers) -> tuple[str, KeyText]:
    """Make a new key: its full text, to be shown once, and its parts."""
    key_id = random_base62(KEY_ID_LENGTH)
    secret = random_base62(secret_length)
    body = f"{prefix}_{environment}_{key_id}_{secret}"
    tag = peppers.tag(body)
    return body + tag, KeyText(body, environment, key_id, secret, tag)


def looks_like_key(text: str) -> bool:
    """Tell whether the text has the shape of a key, whoever made it."""
    return _KEY_TEXT.fullmatch(text) is not None


def hint(text: str) -> str:
    """Return what may be shown of a key: prefix, id and last four characters."""
    return f"{text[: text.rindex('_')]}_…{text[-4:]}"


def mask_keys(text: str) -> str:
    """Return the text with the secret part of everything key-shaped in it replaced."""
    return _KEY_LIKE.sub(r"\1_…", text) if "_" in text or "%5" in text else text
