"""Frozen values that all parts share.

This module imports nothing of extauth and knows no HTTP framework, store or proxy. Values made for every
check are named tuples, because a frozen dataclass costs several times as much to build.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import NamedTuple, Protocol


class Outcome(enum.StrEnum):
    """What kind of answer the client gets; the closed set that dialects turn into statuses."""

    ALLOWED = "allowed"
    AMBIGUOUS = "ambiguous"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"


class Code(enum.StrEnum):
    """The stable machine-readable name of a decision: `code` in problem bodies, logs and metrics."""

    ALLOWED = "allowed"
    AMBIGUOUS_CREDENTIALS = "ambiguous_credentials"
    AMBIGUOUS_PATH = "ambiguous_path"
    MISSING_KEY = "missing_key"
    INVALID_KEY = "invalid_key"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    ROUTE_DENIED = "route_denied"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    COOLING_DOWN = "cooling_down"
    TOO_MANY_CONCURRENT = "too_many_concurrent_requests"
    STORE_UNAVAILABLE = "store_unavailable"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"


OUTCOMES: Mapping[Code, Outcome] = {
    Code.ALLOWED: Outcome.ALLOWED,
    Code.AMBIGUOUS_CREDENTIALS: Outcome.AMBIGUOUS,
    Code.AMBIGUOUS_PATH: Outcome.AMBIGUOUS,
    Code.MISSING_KEY: Outcome.UNAUTHENTICATED,
    Code.INVALID_KEY: Outcome.UNAUTHENTICATED,
    Code.INSUFFICIENT_SCOPE: Outcome.FORBIDDEN,
    Code.ROUTE_DENIED: Outcome.FORBIDDEN,
    Code.RATE_LIMITED: Outcome.LIMITED,
    Code.QUOTA_EXCEEDED: Outcome.LIMITED,
    Code.COOLING_DOWN: Outcome.LIMITED,
    Code.TOO_MANY_CONCURRENT: Outcome.LIMITED,
    Code.STORE_UNAVAILABLE: Outcome.UNAVAILABLE,
    Code.OVERLOADED: Outcome.UNAVAILABLE,
    Code.INTERNAL_ERROR: Outcome.UNAVAILABLE,
}


# Longer targets are not remembered: a flood of long paths must not fill the memory. In characters, of method,
# host and path together.
LONGEST_REMEMBERED = 512


class Target:
    """What a request is aimed at.

    `path` is the raw path as the client sent it, without the query, never decoded or normalised. The same
    method, host and path are the same object, compared by identity, so that what follows from them can be
    remembered: if they are `short`, because a flood of long paths must not fill the memory.

    No frozen dataclass, which would take three times as long to make: one is made for each new path.
    """

    __slots__ = ("host", "method", "path", "short")

    def __init__(self, method: str, host: str, path: str) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.short = len(method) + len(host) + len(path) <= LONGEST_REMEMBERED


class CheckRequest(NamedTuple):
    """One question of a proxy, in the same terms whichever dialect it came in.

    `credential` is the key text that the client presented, or None. `credential_headers` are the lower-case
    names of the request headers that it stood in, so that a proxy can remove them before the upstream.
    `ambiguous` is set where the dialect saw that two readings are possible, whatever the rules say.
    `trace` is what stood in `traceparent` (W3C Trace Context), unread, empty where nothing did.
    """

    dialect: str
    target: Target
    credential: bytes | None
    credential_headers: tuple[str, ...]
    client_ip: str
    request_id: str
    ambiguous: Code | None = None
    trace: bytes = b""


# The period of a limit that begins anew with each month.
CALENDAR_MONTH = 0


class Per(enum.StrEnum):
    """Whose requests a limit counts together."""

    KEY = "key"
    USER = "user"
    IP = "ip"
    ROUTE = "route"
    ALL = "all"


class Limit(NamedTuple):
    """One limit: `capacity` requests, counted by `algorithm` for each `per`.

    A token bucket is refilled evenly by `rate` requests each `period_us` microseconds. A window holds its
    capacity for each `period_us`, or for each `CALENDAR_MONTH`; its `rate` is its capacity. A limit in
    `shadow` never refuses. `pause_us` and `longest_us` are the first and the longest wait of a cool-down.
    """

    name: str
    capacity: int
    rate: int
    period_us: int
    algorithm: str = "token_bucket"
    per: Per = Per.KEY
    shadow: bool = False
    is_quota: bool = False
    pause_us: int = 0
    longest_us: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class LimitSet:
    """The limits that a request's answer tells of, in the order of the configuration.

    Compared by identity, so that answers can be prepared for each.
    """

    limits: tuple[Limit, ...]


class Usage(NamedTuple):
    """How one limit stands after a request was counted or refused; times in microseconds from now.

    `reset_us` is the time until the limit is as if nothing had been spent, `retry_us` the time until a
    request of the same cost could pass: 0 where it passed.
    """

    limit: Limit
    allowed: bool
    remaining: int
    reset_us: int
    retry_us: int


# The same as a plain tuple, because one is made for each limit of each check: a named one takes twice as long
# to make, and to take apart.
PlainUsage = tuple[Limit, bool, int, int, int]


class CountedPage(Protocol):
    """Where usage is counted for a while, of this key and others; all pages of a while are `of` the same."""

    of: object
    counts: list[int]
    grown: bool


class CountedSheet(Protocol):
    """Where usage of these keys is counted time after time: on one page after the other."""

    @property
    def page(self) -> CountedPage:
        """The page of now, or of when something was counted last."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApiKey:
    """The record of one key.

    It holds no secret: `hashed_key` is an argon2id hash, `hint` the prefix, id and last four. Compared by
    identity, so that answers can be prepared for each.

    `version` rises with every change but that of `last_used`. Not `active` without `revoked_at` means
    disabled for now. After a rotation at `rotated_at` the old key has `rotated_to` and ends at `grace_until`;
    the new one has `rotated_from`. `limits` are the key's own rates instead of its tier's: `{"rates":
    ["10/second"]}`. `pepper_id` names the pepper that the key needs, empty where nobody noted it. `imported`
    keys were made by another system.
    """

    key_id: str
    hashed_key: str = field(repr=False)
    hint: str
    user_id: str
    name: str
    tier: str
    scopes: tuple[str, ...]
    environment: str
    created_at: datetime
    active: bool = True
    expires_at: datetime | None = None
    last_used: datetime | None = None
    revoked_at: datetime | None = None
    revoked_reason: str = ""
    rotated_from: str | None = None
    rotated_to: str | None = None
    rotated_at: datetime | None = None
    grace_until: datetime | None = None
    limits: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    pepper_id: str = ""
    imported: bool = False
    version: int = 1


class Identified:
    """Who was recognised: a key, with what parts of this process know and note about it, each for itself.

    It is what each check has at hand anyway. Where many keys are in use, memory that is in no cache is most
    of what a check waits for: the record is one more piece of it, and so is a place in a table of each part.
    """

    __slots__ = (
        "counted_at", "counted_for", "counted_on", "identity", "key", "line", "noted_by", "used_us",
        "written_us",
    )  # fmt: skip

    # On which sheet usage is counted, and where on its pages: set with the route that is for.
    counted_on: CountedSheet
    counted_at: int

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        # How answers tell the upstream who is calling, and decision lines who called; empty until then.
        self.identity = b""
        self.line = b""
        # When it was used last, in microseconds, who is going to write that, and what was written last.
        self.used_us = 0
        self.noted_by: object = None
        self.written_us = 0
        self.counted_for: str | None = None

    @property
    def key_id(self) -> str:
        """Whose it is."""
        return self.key.key_id


# The names of what a record holds, in its order.
RECORD_FIELDS = tuple(one.name for one in fields(ApiKey))


class Decision(NamedTuple):
    """The answer to a check, in no proxy's terms.

    The upstream is told `whose` it is, None where nobody was identified. Then operators have `presented_id`,
    the key that was presented, where that can be told, and `reason` says why it was refused; callers see
    neither. `needed_scopes` is filled where scopes were missing, `violated` names the limits that refused,
    `usages` stand in the order of `limit_set`, `retry_after` is in whole seconds. `shadowed` names limits in
    shadow that would have refused. `degraded` says what was decided without the store, where that was so.
    `lease` names the slots that the request holds until its end is reported, empty where it holds none.
    """

    code: Code
    whose: Identified | None = None
    presented_id: str = ""
    route: str = ""
    limit_set: LimitSet | None = None
    usages: tuple[PlainUsage, ...] = ()
    violated: tuple[str, ...] = ()
    retry_after: int = 0
    needed_scopes: tuple[str, ...] = ()
    reason: str = ""
    shadowed: tuple[str, ...] = ()
    degraded: str = ""
    lease: str = ""

    @property
    def key(self) -> ApiKey | None:
        """The record of who was identified."""
        return None if self.whose is None else self.whose.key

    @property
    def key_id(self) -> str:
        """Which key was presented, whether it was good or not; empty where nobody can tell."""
        return self.presented_id if self.whose is None else self.whose.key_id
