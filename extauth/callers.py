"""A key record made ready for the check.

What its state, scopes and limits come to, worked out once when the key is loaded.
"""

from __future__ import annotations

import sys

from extauth.bounded import Memo
from extauth.clock import to_us
from extauth.keys.scopes import ScopeSet
from extauth.limits.plan import Planner, Take, UnknownLimitsError, takes_for
from extauth.limits.spent import Spent
from extauth.model import ApiKey, LimitSet
from extauth.routes import Route

_NEVER = sys.maxsize
_REMEMBERED_ROUTES = 256


class Caller:
    """One key, compiled. Lives as long as its record is unchanged."""

    __slots__ = ("blocked", "expires_us", "fault", "key", "limit_set", "missing_scopes", "spent", "takes")

    def __init__(self, key: ApiKey, planner: Planner) -> None:
        self.key = key
        self.limit_set: LimitSet | None = None
        self.takes: tuple[Take, ...] = ()
        # What refused it last.
        self.spent: Spent | None = None
        # What is wrong on this side: the key is good, but nobody can say what its limits are.
        self.fault = ""
        try:
            self.limit_set = planner.limits_of(key)
            self.takes = takes_for(key, self.limit_set)
        except UnknownLimitsError as error:
            self.fault = str(error)
        self.blocked = _blocked(key)
        # The end of a grace ends the key as its expiry does.
        ends = [to_us(end) for end in (key.expires_at, key.grace_until) if end is not None]
        self.expires_us = min(ends, default=_NEVER)
        scopes = ScopeSet(key.scopes)
        # `missing_scopes[route]` are the scopes that the route needs and the key lacks.
        self.missing_scopes: Memo[Route, tuple[str, ...]] = Memo(
            lambda route: scopes.missing(route.scopes), _REMEMBERED_ROUTES
        )

    def refusal(self, now_us: int) -> str:
        """Return why the key may not be used now, or an empty text."""
        if self.blocked or now_us < self.expires_us:
            return self.blocked
        grace = self.key.grace_until
        return "rotated" if grace is not None and now_us >= to_us(grace) else "expired"


def _blocked(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "" if key.active else "disabled"
