"""Finding keys and users by how they begin, for people who look for them."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from extauth.model import ApiKey

_FOLDS = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found: keys, those found by their id first, then by name; users, with how many keys each has.

    Both are in the order of what they were found by.
    """

    keys: tuple[ApiKey, ...] = ()
    users: Mapping[str, int] = field(default_factory=dict)


class SearchableStore(Protocol):
    """Finds keys."""

    async def search(self, beginning: str, *, limit: int) -> Found:
        """Return keys whose id or name begins so, and users whose id does: at most so many of both.

        Of names the case of ASCII letters doesn't matter. Raises StoreError.
        """
        ...

    async def complete_search(self) -> int:
        """Have those keys found too that a version without a search kept; return how many these were.

        Any number of processes may do so at the same time, and again. Raises StoreError.
        """
        ...


def folded(name: str) -> str:
    """Return a name as all stores compare it: what SQLite's `lower` makes of it."""
    return name.translate(_FOLDS)
