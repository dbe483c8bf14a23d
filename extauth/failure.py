"""What a check gets while the shared store doesn't answer: the one place that decides it.

Authentication and limits have a policy each. `closed` answers 503. `open` goes on without: a key whose tag
fits is let in unseen, limits are not counted. `degrade` honours keys that the store confirmed a short while
ago, and counts each limit on this server alone, which gives out its share of it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction

from extauth.callers import Caller
from extauth.decisions import RETRY_SECONDS, counted, limited
from extauth.limits.plan import Plan, take_for
from extauth.model import Code, Decision, Identified, Limit
from extauth.routes import Route
from extauth.stores.limits import Taken
from extauth.stores.memory import SWEPT_AT_ONCE, MemoryLimitStore
from extauth.throttle.claims import Claim
from extauth.throttle.slots import Concurrency


class Mode(enum.StrEnum):
    """What happens without the store."""

    CLOSED = "closed"
    OPEN = "open"
    DEGRADE = "degrade"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureModes:
    """The policy. `honour_us` and `share` are for `degrade`."""

    authentication: Mode = Mode.CLOSED
    limits: Mode = Mode.CLOSED
    honour_us: int = 60_000_000
    share: Fraction = Fraction(1, 4)


def unavailable(route: Route, reason: str) -> Decision:
    """Refuse because nobody can tell."""
    return Decision(Code.STORE_UNAVAILABLE, route=route.name, retry_after=RETRY_SECONDS, reason=reason)


class FailurePolicy:
    """Decides in the store's place."""

    def __init__(self, modes: FailureModes) -> None:
        self._modes = modes
        # What this server gives out on its own.
        self.local = MemoryLimitStore()
        self._taken = 0

    def with_caller(
        self,
        caller: Caller,
        route: Route,
        plan: Plan,
        foreseen: Decision | None,
        now_us: int,
        *,
        why: str,
        claim: Claim | None = None,
    ) -> Decision:
        """Decide about a key whose state is remembered, not confirmed; `foreseen` is its refusal, if any.

        With a `claim` it needs slots.
        """
        mode = self._modes.authentication
        if mode is Mode.CLOSED or (mode is Mode.DEGRADE and not self._honours(caller, now_us)):
            return unavailable(route, why)
        said = f"authentication={mode}"
        if foreseen is not None:
            return foreseen._replace(degraded=said)
        return self._limited(caller, route, plan, now_us, why, said=said, claim=claim)

    def _honours(self, caller: Caller, now_us: int) -> bool:
        if now_us < caller.confirmed_us:
            # The clock was wrong then, or is now: nobody knows how long ago that was.
            caller.confirmed_us = 0
        return now_us - caller.confirmed_us <= self._modes.honour_us

    def without_key(
        self, route: Route, plan: Plan, now_us: int, why: str, claim: Claim | None = None
    ) -> Decision:
        """Decide about a request that needs no key."""
        return self._limited(None, route, plan, now_us, why, said="", claim=claim)

    def unseen(self, key_id: str, route: Route, why: str) -> Decision:
        """Decide about a key that nobody can look up; `key_id` is empty unless its tag fits."""
        modes = self._modes
        # Which scopes and which limits it has nobody knows; without a tag anybody may have made it up.
        if not modes.authentication is modes.limits is Mode.OPEN or route.scopes or not key_id:
            return unavailable(route, why)
        said = f"authentication={Mode.OPEN},limits={Mode.OPEN}"
        return Decision(Code.ALLOWED, presented_id=key_id, route=route.name, degraded=said)

    def _limited(
        self,
        whose: Identified | None,
        route: Route,
        plan: Plan,
        now_us: int,
        why: str,
        *,
        said: str,
        claim: Claim | None,
    ) -> Decision:
        mode = self._modes.limits
        if not plan.takes and not plan.places:
            return Decision(Code.ALLOWED, whose, "", route.name, degraded=said)
        if mode is Mode.CLOSED:
            return unavailable(route, why)
        said = f"{said},limits={mode}" if said else f"limits={mode}"
        if mode is Mode.OPEN:
            return Decision(Code.ALLOWED, whose, "", route.name, degraded=said)
        share = self._share_of(plan)
        spent = share.refused_again(now_us)
        if spent is not None:
            return limited(whose, route, share, spent)._replace(degraded=said)
        taken = self._take(share, now_us, claim)
        return counted(whose, route, share, taken, now_us)._replace(degraded=said)

    def _take(self, share: Plan, now_us: int, claim: Claim | None) -> Taken:
        self._taken += 1
        if self._taken % SWEPT_AT_ONCE == 0:
            self.local.sweep(now_us)
            # Nobody archives what is counted here.
            self.local.take_unsaved()
        # Nobody waits for a slot: the next signal may come when the store is back.
        return self.local.acquire(share, now_us, claim, may_wait=False)

    def _share_of(self, plan: Plan) -> Plan:
        """Return the plan with what this server may give out of each limit."""
        if plan.share is None:
            share = self._modes.share
            plan.share = Plan(
                (
                    take_for(_scaled(take.limit, share), take.cost, subject=take.subject, field=take.field)
                    for take in plan.takes + plan.shadows
                ),
                tuple(place._replace(limit=_fewer(place.limit, share)) for place in plan.places),
                client=plan.client,
            )
        return plan.share


def _fewer(limit: Concurrency, share: Fraction) -> Concurrency:
    """Return that share of the slots, one at least."""
    return limit._replace(most=max(1, int(limit.most * share)))


def _scaled(limit: Limit, share: Fraction) -> Limit:
    """Return a limit of that share, of one request at least."""
    capacity = max(1, int(limit.capacity * share))
    if limit.algorithm != "token_bucket":
        return limit._replace(capacity=capacity, rate=capacity)
    # The same rate more slowly: whole numbers stay whole.
    return limit._replace(capacity=capacity, period_us=int(limit.period_us / share))
