"""Ends of leases, packed into one call of a script: see `ends.lua`.

What many ends have in common is said once, and the reply has a digit for each of them. So an end costs little
more than its bytes, here and in Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from extauth.stores.redis.limits.asking import Words
from extauth.stores.redis.limits.wire import bulk


class Ending(NamedTuple):
    """What is to end: a lease, or somebody's wait, by `name`. All its keys are in one slot, that of `key`.

    `bases` are how the keys of its limits begin. Where the whole lease is filed, `filed` is the key of its
    request's set, and `rest` how the lease goes on behind its name.
    """

    name: str
    bases: tuple[str, ...]
    rest: str = ""
    filed: str = ""

    @property
    def key(self) -> str:
        """One of its keys."""
        return self.bases[0] if self.bases else self.filed


def packed(endings: Sequence[Ending]) -> Words:
    """Put them in words."""
    numbers: dict[str, int] = {}
    known: dict[tuple[str, ...], str] = {}
    lines, sets = [""], []
    for name, bases, rest, filed in endings:
        places = known.get(bases)
        if places is None:
            places = known[bases] = _places(bases, numbers)
        lines.append(f"{name} {places} {rest}\n")
        if filed:
            sets.append(bulk(filed.encode()))
    lines[0] = f"{len(numbers)}\n"
    keys = [*(bulk(base.encode()) for base in numbers), *sets]
    return Words(b"".join(keys), len(keys), bulk("".join(lines).encode()), 1)


def _places(bases: Sequence[str], numbers: dict[str, int]) -> str:
    """Return the numbers of these limits, from 1; those that have none yet get one."""
    return ",".join(str(numbers.setdefault(base, len(numbers) + 1)) for base in bases)
