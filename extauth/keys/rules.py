"""What a key may be: every mistake of a request, found at once. It knows no store."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import orjson

from extauth.errors import InvalidInputError
from extauth.keys.asked import ALL_READ, Actor, KeyPolicy, Misread, Mistake
from extauth.keys.scopes import ADMIN, ADMIN_SCOPES, EVERYTHING, ScopeSet, is_administrative, is_scope
from extauth.keys.token import mask_keys
from extauth.model import ApiKey

# Scopes and user id travel in answer headers, which must stay below 4 kB together.
MOST_SCOPES = 32
LONGEST_SCOPES = 1_024
LONGEST_USER_ID = 128
LONGEST_NAME = 128
LONGEST_REASON = 256
LARGEST_METADATA = 4_096  # bytes of JSON
DEEPEST_METADATA = 16
HOLDS_A_KEY = "holds something that looks like a key, which must not be stored"
_USER_ID = re.compile(r"[!-~]{1,128}")
Value = TypeVar("Value")
# Reads the limits that a key has of its own. Raises ValueError.
ParseLimits = Callable[[Mapping[str, object]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRules:
    """Judges what is asked. `tiers` and `environments` are those of the configuration."""

    tiers: Collection[str]
    environments: Collection[str]
    policy: KeyPolicy
    parse_limits: ParseLimits

    def check(
        self,
        key: ApiKey,
        by: Actor,
        *,
        now: datetime,
        held: Collection[str] = (),
        ends_by: str | None = None,
        misread: Misread = ALL_READ,
    ) -> None:
        """Raise InvalidInputError that names every mistake of a record that is about to be kept.

        `held` are scopes that the key has already, which somebody else granted. `ends_by` is the field that
        says when it ends. What was misread is told too, and no rule that needs it is asked.
        """
        found = [
            *identity_mistakes(key),
            *self._kind_mistakes(key),
            *self._scope_mistakes(key, by, held, misread),
            *self._end_mistakes(key, now, ends_by),
            *self._extra_mistakes(key),
        ]
        refuse(found, misread)

    def check_grants(self, key: ApiKey, by: Actor) -> None:
        """Raise InvalidInputError unless somebody may give a key the scopes that it has."""
        refuse(self._scope_mistakes(key, by, (), ALL_READ))

    def _kind_mistakes(self, key: ApiKey) -> Iterator[Mistake]:
        if key.tier not in self.tiers:
            yield "tier", f"there is no tier {key.tier!r}; there is {_listed(self.tiers)}"
        if key.environment not in self.environments and not key.imported:
            known = _listed(self.environments)
            yield "environment", f"there is no environment {key.environment!r}; there is {known}"

    def _scope_mistakes(
        self, key: ApiKey, by: Actor, held: Collection[str], misread: Misread
    ) -> Iterator[Mistake]:
        if len(key.scopes) > MOST_SCOPES or len(" ".join(key.scopes)) > LONGEST_SCOPES:
            yield (
                "scopes",
                f"a key holds at most {MOST_SCOPES} scopes and {LONGEST_SCOPES} characters of them",
            )
        bounds = {} if "tier" in misread.fields else self.policy.tier_scopes
        allowed = ScopeSet(bounds.get(key.tier, (EVERYTHING, *ADMIN_SCOPES)))
        for scope in key.scopes:
            if mask_keys(scope) != scope:
                yield "scopes", f"a scope {HOLDS_A_KEY}"
                continue
            if not is_scope(scope):
                yield "scopes", f"{scope!r} is not a scope; scopes look like orders:read or orders:*"
                continue
            if not allowed.covers(scope):
                yield "scopes", f"keys of the tier {key.tier!r} may not hold {scope!r}"
            if scope not in held and not may_grant(by, scope):
                yield "scopes", f"{scope!r} can't be granted by somebody who doesn't hold it"

    def _end_mistakes(self, key: ApiKey, now: datetime, ends_by: str | None) -> Iterator[Mistake]:
        field = ends_by or "expires_at"
        longest = self.policy.longest_lifetime
        if key.expires_at is not None and key.expires_at <= now:
            yield field, "the key would have ended already"
        if longest is not None and (key.expires_at is None or key.expires_at > key.created_at + longest):
            yield field, f"a key may live for {longest.days} days at most (keys.longest_lifetime)"

    def _extra_mistakes(self, key: ApiKey) -> Iterator[Mistake]:
        if key.limits:
            try:
                self.parse_limits(key.limits)
            except ValueError as error:
                yield "limits", str(error)
        try:
            metadata = orjson.dumps(dict(key.metadata))
        except (TypeError, ValueError):
            yield "metadata", "must be what JSON can hold"
            return
        if _is_deeper(key.metadata, DEEPEST_METADATA):
            yield "metadata", f"may be nested {DEEPEST_METADATA} levels deep at most"
        if len(metadata) > LARGEST_METADATA:
            yield "metadata", f"may hold {LARGEST_METADATA} bytes of JSON at most"
        if mask_keys(metadata.decode()) != metadata.decode():
            yield "metadata", HOLDS_A_KEY


def refuse(found: Iterable[Mistake], misread: Misread = ALL_READ) -> None:
    """Raise InvalidInputError that names what was found and what was misread, if there is any of it.

    Nothing is said about the value of a field that was misread; where that is all of it, nothing else is.
    """
    unread = misread.fields
    true = [] if "" in unread else [mistake for mistake in found if mistake[0] not in unread]
    if mistakes := [*misread.mistakes, *true]:
        raise InvalidInputError.of(mistakes)


def attempted(work: Callable[[], Value], misread: Misread, *, otherwise: Value) -> tuple[Value, Misread]:
    """Return what the work comes to, or what stands in for that, with the mistakes that it raised."""
    try:
        return work(), misread
    except InvalidInputError as error:
        return otherwise, misread.also(*error.mistakes)


def in_order(mistakes: Iterable[Mistake], fields: Sequence[str]) -> list[Mistake]:
    """Sort mistakes as the fields stand: first those about all of it, last those of unknown fields.

    A place within a field, such as `/scopes/1` in `/scopes`, stands where the field does.
    """
    places = {field: place for place, field in enumerate(("", *fields))}

    def place_of(mistake: Mistake) -> int:
        name = mistake[0]
        return places.get(name[:1] + name[1:].partition("/")[0], len(places))

    return sorted(mistakes, key=place_of)


def may_grant(by: Actor, scope: str) -> bool:
    """Tell whether somebody may give a scope to a key: what they hold, or anything with extauth:admin."""
    if by.scopes is None or ADMIN in by.scopes:
        return True
    held = ScopeSet(held for held in by.scopes if is_administrative(held) == is_administrative(scope))
    return held.covers(scope)


def lives_longer(before: ApiKey, after: ApiKey) -> bool:
    """Tell whether a change moves the end of a key on, or takes it away."""
    if before.expires_at is None:
        return False
    return after.expires_at is None or after.expires_at > before.expires_at


def reason_mistakes(reason: str, field: str = "reason") -> Iterator[Mistake]:
    """Find what keeps a text from standing in a record as a reason."""
    if len(reason) > LONGEST_REASON or (reason and not reason.isprintable()):
        yield field, f"a reason has {LONGEST_REASON} printable characters at most"
    # People paste what leaked; it would stay in the record and in the audit log.
    if mask_keys(reason) != reason:
        yield field, HOLDS_A_KEY


def identity_mistakes(key: ApiKey) -> Iterator[Mistake]:
    """Find what is wrong about whose key it is and what it is called, also where a record is restored."""
    if _USER_ID.fullmatch(key.user_id) is None:
        rule = f"the user id needs 1 to {LONGEST_USER_ID} printable ASCII characters without spaces"
        yield "user_id", rule
    if not 1 <= len(key.name) <= LONGEST_NAME or not key.name.isprintable():
        yield "name", f"the name needs 1 to {LONGEST_NAME} printable characters"
    for field, text in (("user_id", key.user_id), ("name", key.name)):
        if mask_keys(text) != text:
            yield field, HOLDS_A_KEY


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _is_deeper(value: object, levels: int) -> bool:
    """Tell whether mappings and lists are nested deeper than that."""
    if isinstance(value, Mapping):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, list | tuple):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)
    return False
