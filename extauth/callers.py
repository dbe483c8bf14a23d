"""A key record made ready for the check.

What its state, scopes and limits come to, worked out once when the key is loaded.
"""

from __future__ import annotations

import sys

from extauth.bounded import Memo
from extauth.clock import to_us
from extauth.keys.scopes import ScopeSet
from extauth.limits.plan import Planner, Take, UnknownTierError, takes_for
from extauth.model import ApiKey, LimitSet
from extauth.routes import Route

_NEVER = sys.maxsize
_REMEMBERED_ROUTES = 256


class Caller:
    """One key, compiled. Lives as long as its record is unchanged."""

    __slots__ = ("blocked", "expires_us", "fault", "key", "limit_set", "missing_scopes", "takes")

    def __init__(self, key: ApiKey, planner: Planner) -> None:
        self.key = key
        self.limit_set: LimitSet | None = None
        self.takes: tuple[Take, ...] = ()
        # What is wrong on this side: the key is good, but nobody can say what its limits are.
        self.fault = ""
        try:
            self.limit_set = planner.limits_of(key)
            self.takes = takes_for(key, self.limit_set)
        except UnknownTierError as error:
            self.fault = str(error)
        self.blocked = _blocked(key)
        self.expires_us = _NEVER if key.expires_at is None else to_us(key.expires_at)
        scopes = ScopeSet(key.scopes)
        # `missing_scopes[route]` are the scopes that the route needs and the key lacks.
        self.missing_scopes: Memo[Route, tuple[str, ...]] = Memo(
            lambda route: scopes.missing(route.scopes), _REMEMBERED_ROUTES
        )

    def refusal(self, now_us: int) -> str:
        """Return why the key may not be used now, or an empty text."""
        return self.blocked or ("expired" if now_us >= self.expires_us else "")


def _blocked(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "" if key.active else "disabled"
