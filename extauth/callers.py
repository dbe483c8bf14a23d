"""A key record made ready for the check.

What its state, scopes and limits come to, worked out once when the key is loaded.
"""

from __future__ import annotations

import sys
from functools import lru_cache

from extauth.bounded import Memo
from extauth.clock import to_us
from extauth.keys.scopes import ScopeSet
from extauth.limits.plan import PLAIN_CHARGE, AnyLimit, Charge, Plan, Planner, Subjects, UnknownLimitsError
from extauth.model import ApiKey, Identified
from extauth.routes import Route

_NEVER = sys.maxsize
_REMEMBERED_ROUTES = 256
_REMEMBERED_CHARGES = 64
# Of as many different sets of scopes.
_REMEMBERED_SCOPES = 1_024
# Addresses that one key is used from at about the same time, and those of all who have none.
_ADDRESSES_OF_A_KEY = 256
_ADDRESSES_WITHOUT_A_KEY = 16_384


class Plans(Memo[Charge, Plan | None]):
    """What requests of one caller take: `plans[charge]`, which is None where the client's address counts too.

    Then `at(charge, address)` has it. `addresses` is for how many it is remembered.
    """

    __slots__ = ("_at",)

    def __init__(
        self, planner: Planner, limits: tuple[AnyLimit, ...], who: Subjects, *, addresses: int
    ) -> None:
        def plan(charge: Charge) -> Plan | None:
            return None if planner.needs_address(limits, charge) else planner.plan(limits, charge, who)

        def plan_at(place: tuple[Charge, str]) -> Plan:
            charge, address = place
            return planner.plan(limits, charge, who._replace(address=address))

        super().__init__(plan, _REMEMBERED_CHARGES)
        self._at: Memo[tuple[Charge, str], Plan] = Memo(plan_at, addresses)

    def at(self, charge: Charge, address: str) -> Plan:
        """Return what a request from this address takes."""
        return self._at[charge, address]


def plans_without_key(planner: Planner) -> Plans:
    """Return what requests take that come without a key."""
    return Plans(planner, planner.anonymous, Subjects(), addresses=_ADDRESSES_WITHOUT_A_KEY)


class _EachCheck(Identified):
    """What each check reads of a caller: together, as members of a base class stand first."""

    __slots__ = ("confirmed_us", "good_until_us", "missing_scopes", "plan", "standing")


class Caller(_EachCheck):
    """One key, compiled. Lives as long as its record is unchanged.

    What hardly any key needs is worked out when it is needed: a server may hold 100,000 of them.
    """

    __slots__ = ("_blocked", "_ends_us", "_nothing", "_planner", "_plans", "fault")

    def __init__(self, key: ApiKey, planner: Planner) -> None:
        super().__init__(key)
        self.standing: object = None
        self._planner = planner
        # What is wrong on this side: the key is good, but nobody can say what its limits are.
        self.fault = ""
        # What a request takes where the route has nothing of its own; None where the client's address counts.
        self.plan: Plan | None = None
        try:
            limits = planner.limits_of(key)
        except UnknownLimitsError as error:
            self.fault = str(error)
        else:
            if not planner.needs_address(limits, PLAIN_CHARGE):
                self.plan = planner.plan(limits, PLAIN_CHARGE, _subjects(key))
        self._plans: Plans | None = None
        self._nothing: Plan | None = None
        # When a shared store confirmed the key last.
        self.confirmed_us = 0
        self._blocked = _blocked(key)
        # The end of a grace ends the key as its expiry does.
        ends = [to_us(end) for end in (key.expires_at, key.grace_until) if end is not None]
        self._ends_us = min(ends, default=_NEVER)
        # From then on it lets nobody in, for whatever reason.
        self.good_until_us = 0 if self._blocked or self.fault else self._ends_us
        # `missing_scopes[route]` are the scopes that the route needs and the key lacks.
        self.missing_scopes = _missing_scopes(key.scopes)

    @property
    def version(self) -> int:
        """Which version of the record it was made of."""
        return self.key.version

    def all_plans(self) -> Plans:
        """Return what requests take, by charge."""
        if self._plans is None:
            limits = () if self.fault else self._planner.limits_of(self.key)
            self._plans = Plans(self._planner, limits, _subjects(self.key), addresses=_ADDRESSES_OF_A_KEY)
        return self._plans

    def plan_of_nothing(self) -> Plan:
        """Return what a request takes that is refused anyway: for a shared store, which looks at the key."""
        if self._nothing is None:
            self._nothing = Plan(())
        return self._nothing

    def refusal(self, now_us: int) -> str:
        """Return why the key may not be used now, or an empty text."""
        if self._blocked or now_us < self._ends_us:
            return self._blocked
        grace = self.key.grace_until
        return "rotated" if grace is not None and now_us >= to_us(grace) else "expired"


def _subjects(key: ApiKey) -> Subjects:
    return Subjects(key_id=key.key_id, user_id=key.user_id, tier=key.tier)


@lru_cache(maxsize=_REMEMBERED_SCOPES)
def _missing_scopes(scopes: tuple[str, ...]) -> Memo[Route, tuple[str, ...]]:
    """Return the same for all keys with the same scopes: that is less memory to go through for each check."""
    held = ScopeSet(scopes)
    return Memo(lambda route: held.missing(route.scopes), _REMEMBERED_ROUTES)


def _blocked(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "" if key.active else "disabled"
