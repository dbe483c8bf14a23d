"""Scopes: what a key may do, as words like `orders:read`, and wildcards that cover a family of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SCOPE = re.compile(r"\*|[A-Za-z0-9_.-]+(?::[A-Za-z0-9_.-]+)*(?::\*)?")
LONGEST_SCOPE = 64


def is_scope(text: str) -> bool:
    """Tell whether the text is a scope.

    Words joined by colons, the last of which may be `*`, or `*` alone.
    """
    return len(text) <= LONGEST_SCOPE and _SCOPE.fullmatch(text) is not None


class ScopeSet:
    """The scopes that a key holds, ready to be compared.

    `orders:*` covers `orders:read` and `orders:items:read`, but not `orders`; `*` covers everything. A needed
    scope that is itself a wildcard asks for all of the family, so only an equal or a wider wildcard covers
    it.
    """

    __slots__ = ("_everything", "_exact", "_families")

    def __init__(self, scopes: Iterable[str]) -> None:
        held = tuple(scopes)
        self._exact = frozenset(held)
        self._everything = "*" in self._exact
        self._families = tuple(scope[:-1] for scope in held if scope.endswith(":*"))

    def covers(self, needed: str) -> bool:
        """Tell whether one needed scope is held."""
        return self._everything or needed in self._exact or needed.startswith(self._families)

    def missing(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Return those of the needed scopes that are not held."""
        return tuple(scope for scope in needed if not self.covers(scope))
