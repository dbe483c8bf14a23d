"""What a key may be: every mistake of a request, found at once. It knows no store."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from extauth.errors import InvalidInputError
from extauth.keys.asked import Actor, KeyPolicy
from extauth.keys.scopes import ADMIN, ADMIN_SCOPES, EVERYTHING, ScopeSet, is_administrative, is_scope
from extauth.keys.token import mask_keys
from extauth.model import ApiKey, Limit

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

Mistake = tuple[str, str]
# Reads the limits that a key has of its own. Raises ValueError.
ParseLimits = Callable[[Mapping[str, object]], tuple[Limit, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRules:
    """Judges what is asked. `tiers` and `environments` are those of the configuration."""

    tiers: Collection[str]
    environments: Collection[str]
    policy: KeyPolicy
    parse_limits: ParseLimits

    def check(self, key: ApiKey, by: Actor, *, now: datetime, held: Collection[str] = ()) -> None:
        """Raise InvalidInputError that names every mistake of a record that is about to be kept.

        `held` are scopes that the key has already, which somebody else granted.
        """
        mistakes = [
            *identity_mistakes(key),
            *self._kind_mistakes(key),
            *self._scope_mistakes(key, by, held),
            *self._end_mistakes(key, now),
            *self._extra_mistakes(key),
        ]
        if mistakes:
            raise InvalidInputError.of(mistakes)

    def check_grants(self, key: ApiKey, by: Actor) -> None:
        """Raise InvalidInputError unless somebody may give a key the scopes that it has."""
        if mistakes := [*self._scope_mistakes(key, by, ())]:
            raise InvalidInputError.of(mistakes)

    def _kind_mistakes(self, key: ApiKey) -> Iterator[Mistake]:
        if key.tier not in self.tiers:
            yield "tier", f"there is no tier {key.tier!r}; there is {_listed(self.tiers)}"
        if key.environment not in self.environments and not key.imported:
            known = _listed(self.environments)
            yield "environment", f"there is no environment {key.environment!r}; there is {known}"

    def _scope_mistakes(self, key: ApiKey, by: Actor, held: Collection[str]) -> Iterator[Mistake]:
        if len(key.scopes) > MOST_SCOPES or len(" ".join(key.scopes)) > LONGEST_SCOPES:
            yield (
                "scopes",
                f"a key holds at most {MOST_SCOPES} scopes and {LONGEST_SCOPES} characters of them",
            )
        allowed = ScopeSet(self.policy.tier_scopes.get(key.tier, (EVERYTHING, *ADMIN_SCOPES)))
        for scope in key.scopes:
            if mask_keys(scope) != scope:
                yield "scopes", f"a scope {HOLDS_A_KEY}"
            elif not is_scope(scope):
                yield "scopes", f"{scope!r} is not a scope; scopes look like orders:read or orders:*"
            elif not allowed.covers(scope):
                yield "scopes", f"keys of the tier {key.tier!r} may not hold {scope!r}"
            elif scope not in held and not may_grant(by, scope):
                yield "scopes", f"{scope!r} can't be granted by somebody who doesn't hold it"

    def _end_mistakes(self, key: ApiKey, now: datetime) -> Iterator[Mistake]:
        longest = self.policy.longest_lifetime
        if key.expires_at is not None and key.expires_at <= now:
            yield "expires_at", "the key would have ended already"
        if longest is not None and (key.expires_at is None or key.expires_at > key.created_at + longest):
            yield "expires_at", f"a key may live for {longest.days} days at most (keys.longest_lifetime)"

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


def check_reason(reason: str) -> None:
    """Raise InvalidInputError unless a text may stand in a record as a reason."""
    if len(reason) > LONGEST_REASON or (reason and not reason.isprintable()):
        mistake = f"a reason has {LONGEST_REASON} printable characters at most"
        raise InvalidInputError.of([("reason", mistake)])
    if mask_keys(reason) != reason:
        raise InvalidInputError.of([("reason", HOLDS_A_KEY)])


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
