"""A lease in one word, as proxies carry it: all that it takes to end it, on whichever server hears of that.

So a signal ends one in a single step, without an index of leases. It holds no secret: clients never see it,
and signals are taken from configured sources only.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_BASES = re.compile(r"extauth:\{[^{}\x00-\x20]+\}:slots:[^{}\x00-\x20]+")
_HEAD = re.compile(r"([0-9a-f]+-[0-9a-f]+)\.([0-9]{1,16})(?=\.)")
_TAIL = re.compile(r"\.([0-9]{1,12})\.([A-Za-z0-9_-]+)")
LONGEST = 1_024
# Of how many plans it is remembered what their leases' words end with: all leases of a caller end alike.
_REMEMBERED_TAILS = 16_384


class Lease(NamedTuple):
    """A lease: its name, since when and for how long (milliseconds), and where its slots are."""

    name: str
    since_ms: int
    lease_ms: int
    bases: tuple[str, ...]


def tail(lease_ms: int, bases: Sequence[str]) -> str:
    """Return how the words for all leases of a plan end: what `encode` needs of it, worked out once."""
    places = base64.urlsafe_b64encode("\n".join(bases).encode()).rstrip(b"=").decode("ascii")
    return f".{lease_ms}.{places}"


def encode(name: str, since_ms: int, tail: str) -> str:
    """Return the word for a lease: visible ASCII without blanks."""
    return f"{name}.{since_ms}{tail}"


def decode(word: str) -> Lease | None:
    """Read such a word; None where it is none."""
    head = _HEAD.match(word) if len(word) <= LONGEST else None
    if head is None:
        return None
    known = _read_tail(word[head.end() :])
    return None if known is None else tuple.__new__(Lease, (head[1], int(head[2]), *known))


@lru_cache(maxsize=_REMEMBERED_TAILS)
def _read_tail(tail: str) -> tuple[int, tuple[str, ...]] | None:
    match = _TAIL.fullmatch(tail)
    if match is None:
        return None
    lease_ms, places = match.groups()
    try:
        bases = base64.urlsafe_b64decode(places + "=" * (-len(places) % 4)).decode().split("\n")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not all(_BASES.fullmatch(base) for base in bases):
        return None
    return int(lease_ms), tuple(bases)
