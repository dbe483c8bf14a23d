"""Reads a file of keys, line by line, and finds every mistake in it before anything is written.

A line is a record that an export wrote, or a key of another system: by its text or by its SHA-256. Mistakes
are told by line and field, and never repeat a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from extauth.errors import InvalidInputError
from extauth.keys.asked import Actor, NewKey
from extauth.keys.foreign import ForeignKey
from extauth.keys.service import KeyService
from extauth.model import ApiKey
from extauth.moving.fields import Fields
from extauth.moving.lines import from_line

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
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
        for number, raw in enumerate(file, 1):
            text = (raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw).strip()
            if not text:
                continue
            try:
                line = self._line(number, text)
            except InvalidInputError as error:
                mistakes += [LineMistake(number, field, message) for field, message in error.mistakes]
                continue
            if line.adoption is not None and not told:
                told = True
                mistakes.append(LineMistake(number, "", _NOT_LOOKED_FOR))
            first = first_with.setdefault(line.record.key_id, number)
            if first != number:
                mistakes.append(LineMistake(number, "", f"is the same key as that of line {first}"))
            lines.append(line)
        return lines, mistakes

    def _line(self, number: int, text: bytes) -> KeyLine:
        try:
            given = orjson.loads(text)
        except orjson.JSONDecodeError:
            # Its message is left out, since nobody can promise that it quotes nothing.
            raise InvalidInputError("is not JSON: each line holds one object") from None
        if not isinstance(given, dict):
            raise InvalidInputError("is not an object such as {...}")
        if "key" in given or "sha256" in given:
            adoption, record = self._adoption(given)
            return KeyLine(number, record, adoption)
        if "key_id" in given:
            return KeyLine(number, from_line(given))
        raise InvalidInputError("holds neither an exported record nor a key ('key' or 'sha256')")

    def _adoption(self, given: Mapping[str, Any]) -> tuple[Adoption, ApiKey]:
        secrets = [value for name in ("key", "sha256") if isinstance(value := given.get(name), str) and value]
        try:
            adoption = self._read_adoption(given)
            record = self.service.judge(adoption.foreign, adoption.new, self.by)
        except InvalidInputError as error:
            raise InvalidInputError.of(
                [(field, _without(secrets, message)) for field, message in error.mistakes]
            ) from None
        return adoption, record

    def _read_adoption(self, given: Mapping[str, Any]) -> Adoption:
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
        fields.finish()
        assert foreign is not None
        return Adoption(foreign, new)


def _foreign_key(fields: Fields, given: Mapping[str, Any]) -> ForeignKey | None:
    """Take the key by its text or by its SHA-256; None where that is a mistake, which is noted."""
    if "key" in given and "sha256" in given:
        fields.mistakes.append(("key", "give the key or its SHA-256, not both"))
    name, make = ("key", ForeignKey.from_text) if "key" in given else ("sha256", ForeignKey.from_sha256)
    before = len(fields.mistakes)
    texts = [fields.text(one) for one in ("key", "sha256") if one in given]
    if len(fields.mistakes) > before:
        return None
    try:
        return make(texts[0])
    except InvalidInputError as error:
        fields.mistakes += [(name, message) for _, message in error.mistakes]
        return None


def _kept_secrets(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find fields that hold the key once more: there it would be stored in plain text."""
    secret = given.get("key")
    if not isinstance(secret, str) or not secret:
        return
    for name, value in given.items():
        if name != "key" and secret in orjson.dumps(value).decode():
            yield name, "holds the key itself, which must not be stored"


def _without(secrets: Sequence[str], message: str) -> str:
    for secret in secrets:
        message = message.replace(secret, "…")
    return message
