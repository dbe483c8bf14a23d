"""Who is banned, and who fails most: kept in the key store, so that all servers know the same."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from extauth.clock import MICROSECONDS

# How long a process's word on who fails most holds, in microseconds: it repeats it more often than that.
OFFENDERS_KEPT_US = 60 * MICROSECONDS


class Origin(enum.StrEnum):
    """Who banned: `automatic` for a budget of failures that was spent, `manual` for an operator."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Ban(NamedTuple):
    """A subject that is refused from `began_us` until `ends_us`, in microseconds since 1970.

    `subject` is `ip:` with an address (of IPv6 the first of a /64), `key:` with a key id or `user:` with a
    user id. A subject has one ban at a time. `reason` and `actor` are an operator's words and name.
    """

    subject: str
    origin: Origin
    began_us: int
    ends_us: int
    reason: str = ""
    actor: str = ""

    @property
    def ban_id(self) -> str:
        """A short name for it, which is fit for a path; it follows from the subject."""
        return hashlib.blake2b(self.subject.encode(), digest_size=6).hexdigest()

    def yields_to(self, other: Ban) -> bool:
        """Tell whether another ban of the subject takes its place: an operator's word holds.

        Of two automatic ones the one that ends later.
        """
        if other.origin is Origin.MANUAL or other.began_us >= self.ends_us:
            return True
        return self.origin is Origin.AUTOMATIC and other.ends_us > self.ends_us


class BanList(NamedTuple):
    """All bans, in any order, those that are over may be among them; and which state of the list it is."""

    revision: str
    bans: tuple[Ban, ...]


class Offender(NamedTuple):
    """How often a subject failed to authenticate, when last, and how often for which reason.

    Reasons are a closed set: see `abuse.monitor.REASONS`.
    """

    subject: str
    failures: int
    last_us: int
    reasons: Mapping[str, int] = MappingProxyType({})
