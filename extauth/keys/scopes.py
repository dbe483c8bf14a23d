"""Scopes: what a key may do, as words like `orders:read`, and wildcards that cover a family of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SCOPE = re.compile(r"\*|[A-Za-z0-9_.-]+(?::[A-Za-z0-9_.-]+)*(?::\*)?")
LONGEST_SCOPE = 64
EVERYTHING = "*"

# Scopes of the admin API. No wildcard outside their own family covers them: a key that may do everything in
# an API must not be able to make keys.
ADMIN_FAMILY = "extauth:"
KEYS_READ = "extauth:keys:read"
KEYS_WRITE = "extauth:keys:write"
AUDIT_READ = "extauth:audit:read"
BANS_READ = "extauth:bans:read"
BANS_WRITE = "extauth:bans:write"
USAGE_READ = "extauth:usage:read"
ADMIN = "extauth:admin"
ADMIN_SCOPES = (KEYS_READ, KEYS_WRITE, AUDIT_READ, BANS_READ, BANS_WRITE, USAGE_READ, ADMIN)


def is_scope(text: str) -> bool:
    """Tell whether the text is a scope.

    Words joined by colons, the last of which may be `*`, or `*` alone.
    """
    return len(text) <= LONGEST_SCOPE and _SCOPE.fullmatch(text) is not None


def is_administrative(scope: str) -> bool:
    """Tell whether a scope is one of the admin API's."""
    return scope.startswith(ADMIN_FAMILY)


class ScopeSet:
    """The scopes that a key holds, ready to be compared.

    `orders:*` covers `orders:read` and `orders:items:read`, but not `orders`; `*` covers everything
    but the admin API's scopes. A needed scope that is itself a wildcard asks for all of the family, so only
    an equal or a wider wildcard covers it.
    """

    __slots__ = ("_everything", "_exact", "_families")

    def __init__(self, scopes: Iterable[str]) -> None:
        held = tuple(scopes)
        self._exact = frozenset(held)
        self._everything = EVERYTHING in self._exact
        self._families = tuple(scope[:-1] for scope in held if scope.endswith(":*"))

    def covers(self, needed: str) -> bool:
        """Tell whether one needed scope is held."""
        if needed in self._exact or needed.startswith(self._families):
            return True
        return self._everything and not is_administrative(needed)

    def missing(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Return those of the needed scopes that are not held."""
        return tuple(scope for scope in needed if not self.covers(scope))
