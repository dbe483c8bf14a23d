"""A lease in one word, as proxies carry it: all that it takes to end it, on whichever server hears of that.

So a signal ends one in a single step, without an index of leases. It holds no secret: clients never see it,
and signals are taken from configured sources only.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import NamedTuple

_BASES = re.compile(r"extauth:\{[^{}\x00-\x20]+\}:slots:[^{}\x00-\x20]+")
_WORD = re.compile(r"([0-9a-f]+-[0-9a-f]+)\.([0-9]{1,16})\.([0-9]{1,12})\.([A-Za-z0-9_-]+)")
LONGEST = 1_024


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
    match = _WORD.fullmatch(word) if len(word) <= LONGEST else None
    if match is None:
        return None
    name, since_ms, lease_ms, places = match.groups()
    try:
        bases = base64.urlsafe_b64decode(places + "=" * (-len(places) % 4)).decode().split("\n")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not all(_BASES.fullmatch(base) for base in bases):
        return None
    return Lease(name, int(since_ms), int(lease_ms), tuple(bases))
