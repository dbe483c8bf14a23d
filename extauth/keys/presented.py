"""What a presented text may be: a key of this server by its tag, else perhaps one of another system."""

from __future__ import annotations

from typing import NamedTuple

from extauth.errors import InvalidInputError, MalformedKeyError, SecretMismatchError
from extauth.keys.foreign import ForeignKey, foreign_ids
from extauth.keys.token import Peppers, parse_key


class Candidate(NamedTuple):
    """One record that the text may be the key of; `secret` is what argon2 is to compare.

    `tagged` is False where nothing but argon2 can tell that the text was ever issued.
    """

    key_id: str
    secret: str
    tagged: bool = True


class TextReader:
    """Finds candidates. `imported` looks for keys of other systems, `untagged` forgives a wrong tag."""

    def __init__(self, peppers: Peppers, *, imported: bool = False, untagged: bool = False) -> None:
        self._peppers = peppers
        self.imported = imported
        self._untagged = untagged

    def own(self, text: bytes) -> Candidate | None:
        """Return what a key of this server says, None unless its tag fits: nobody else could have made it."""
        try:
            key = parse_key(text.decode("latin-1"))
            self._peppers.verify(key.body, key.tag)
        except (MalformedKeyError, SecretMismatchError):
            return None
        return Candidate(key.key_id, key.secret)

    def candidates(self, text: bytes) -> tuple[Candidate, ...]:
        """Return the candidates, the likeliest first; none where the text can be no key."""
        try:
            key = parse_key(text.decode("latin-1"))
        except MalformedKeyError:
            return self._foreign(text)
        try:
            self._peppers.verify(key.body, key.tag)
        except SecretMismatchError:
            # Another extauth's keys look like ours.
            own = (Candidate(key.key_id, key.secret, tagged=False),) if self._untagged else ()
            return own + self._foreign(text)
        return (Candidate(key.key_id, key.secret),)

    def _foreign(self, text: bytes) -> tuple[Candidate, ...]:
        if not self.imported:
            return ()
        try:
            secret = ForeignKey.from_text(text.decode("ascii")).secret
        except (InvalidInputError, UnicodeDecodeError):
            return ()
        return tuple(Candidate(key_id, secret) for key_id in foreign_ids(secret, self._peppers))
