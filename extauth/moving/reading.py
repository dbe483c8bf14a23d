"""Reads a file of keys, line by line, and finds every mistake in it before anything is written.

A line is a record that an export wrote, or a key of another system: by its text or by its SHA-256. Mistakes
are told by line and field, all of a line together, and never repeat a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from extauth.errors import InvalidInputError
from extauth.keys.asked import Actor, Misread, Mistake, NewKey
from extauth.keys.foreign import ForeignKey
from extauth.keys.rules import in_order
from extauth.keys.service import KeyService
from extauth.model import RECORD_FIELDS, ApiKey
from extauth.moving.fields import Fields, shown
from extauth.moving.lines import from_line

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What stands in for a key that is a mistake, while the rest of its line is judged.
_NO_KEY = ForeignKey("")
_SECRETS = ("key", "sha256")
# In which the mistakes of a line are told.
_ORDER = (*_SECRETS, *RECORD_FIELDS)
_NOT_LOOKED_FOR = (
    "keys of other systems can't be taken in while keys.imported is off, because servers would not look for "
    "them; set keys.imported to true first"
)


@dataclass(frozen=True, slots=True)
class LineMistake:
    """What is wrong about one line; the field is empty where none is to blame."""

    number: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        return f"line {self.number}: {place}{self.message}"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A key of another system, and what it is to be here."""

    foreign: ForeignKey
    new: NewKey


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One good line. `record` is what is to be kept; that of an adoption has no hash yet."""

    number: int
    record: ApiKey
    adoption: Adoption | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReader:
    """Reads lines. `tier` and `environment` are those of foreign keys that name none."""

    service: KeyService
    by: Actor
    tier: str
    environment: str
    imported: bool

    def read(self, file: Iterable[bytes]) -> tuple[list[KeyLine], list[LineMistake]]:
        """Return all good lines, and everything that is wrong with the others."""
        lines: list[KeyLine] = []
        mistakes: list[LineMistake] = []
        first_with: dict[str, int] = {}
        told = self.imported
        for number, text in _texts(file):
            try:
                given = _parsed(text)
                if _is_foreign(given) and not told:
                    told = True
                    mistakes.append(LineMistake(number, "", _NOT_LOOKED_FOR))
                line = self._line(number, given)
            except InvalidInputError as error:
                mistakes += [LineMistake(number, *mistake) for mistake in in_order(error.mistakes, _ORDER)]
                continue
            first = first_with.setdefault(line.record.key_id, number)
            if first != number:
                mistakes.append(LineMistake(number, "", f"is the same key as that of line {first}"))
            lines.append(line)
        return lines, mistakes

    def _line(self, number: int, given: Mapping[str, Any]) -> KeyLine:
        if _is_foreign(given):
            adoption, record = self._adoption(given)
            return KeyLine(number, record, adoption)
        if "key_id" in given:
            return KeyLine(number, from_line(given))
        raise InvalidInputError("holds neither an exported record nor a key ('key' or 'sha256')")

    def _adoption(self, given: Mapping[str, Any]) -> tuple[Adoption, ApiKey]:
        secrets = [value for name in _SECRETS if isinstance(value := given.get(name), str) and value]
        adoption, misread = self._read_adoption(given)
        try:
            record = self.service.judge(adoption.foreign, adoption.new, self.by, misread=misread)
        except InvalidInputError as error:
            raise InvalidInputError.of(
                [(field, _without(secrets, message)) for field, message in error.mistakes]
            ) from None
        return adoption, record

    def _read_adoption(self, given: Mapping[str, Any]) -> tuple[Adoption, Misread]:
        fields = Fields(given)
        foreign = _foreign_key(fields, given)
        # Without an end the policy's default lifetime holds; null asks for none.
        never = "expires_at" in given and given["expires_at"] is None
        new = NewKey(
            user_id=fields.text("user_id"),
            name=fields.text("name"),
            tier=fields.text("tier", self.tier),
            environment=fields.text("environment", self.environment),
            scopes=fields.texts("scopes", ()),
            expires_at=fields.optional_moment("expires_at"),
            never=never,
            limits=fields.mapping("limits", {}),
            metadata=fields.mapping("metadata", {}),
        )
        fields.mistakes += _kept_secrets(given)
        return Adoption(foreign, new), fields.misread()


def _texts(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Return all lines that are not empty, with their numbers."""
    for number, raw in enumerate(file, 1):
        if text := (raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw).strip():
            yield number, text


def _parsed(text: bytes) -> Mapping[str, Any]:
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Its message is left out, since nobody can promise that it quotes nothing.
        raise InvalidInputError("is not JSON: each line holds one object") from None
    if not isinstance(given, dict):
        raise InvalidInputError("is not an object such as {...}")
    return given


def _is_foreign(given: Mapping[str, Any]) -> bool:
    return any(name in given for name in _SECRETS)


def _foreign_key(fields: Fields, given: Mapping[str, Any]) -> ForeignKey:
    """Take the key by its text or by its SHA-256; a stand-in where that is a mistake, which is noted."""
    if "key" in given and "sha256" in given:
        fields.mistakes.append(("key", "give the key or its SHA-256, not both"))
    name, make = ("key", ForeignKey.from_text) if "key" in given else ("sha256", ForeignKey.from_sha256)
    before = len(fields.mistakes)
    texts = [fields.text(one) for one in _SECRETS if one in given]
    if len(fields.mistakes) > before:
        return _NO_KEY
    try:
        return make(texts[0])
    except InvalidInputError as error:
        fields.mistakes += [(name, message) for _, message in error.mistakes]
        return _NO_KEY


def _kept_secrets(given: Mapping[str, Any]) -> Iterator[Mistake]:
    """Find fields that hold the key once more: there it would be stored in plain text."""
    secret = given.get("key")
    if not isinstance(secret, str) or not secret:
        return
    # As JSON writes it: a backslash is two there.
    written = _json(secret)[1:-1]
    for name, value in given.items():
        if name != "key" and written in _json(value):
            yield shown(name), "holds the key itself, which must not be stored"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _without(secrets: Sequence[str], message: str) -> str:
    for secret in secrets:
        # Messages quote what is wrong as Python does, where a backslash is two as well.
        for written in (secret, repr(secret)[1:-1]):
            message = message.replace(written, "…")
    return message
