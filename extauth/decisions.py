"""What follows from what is known of a key and its limits, as decisions."""

from __future__ import annotations

from extauth.callers import Caller
from extauth.limits.plan import Plan
from extauth.limits.spent import Spent, spent_by
from extauth.model import Code, Decision, Identified, PlainUsage
from extauth.routes import Route
from extauth.stores.limits import Taken
from extauth.throttle.slots import Blocked

# What a client is told to wait where nobody can know how long, as until one of its requests has ended: long
# enough to spare whoever it waits for, short enough to notice soon.
RETRY_SECONDS = 1

# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED
_COOLING_DOWN = Code.COOLING_DOWN


def refused(caller: Caller, route: Route, now_us: int) -> Decision:
    """Refuse a key that may not be used now."""
    key_id = caller.key.key_id
    if reason := caller.refusal(now_us):
        return Decision(Code.INVALID_KEY, presented_id=key_id, route=route.name, reason=reason)
    return Decision(
        Code.INTERNAL_ERROR,
        presented_id=key_id,
        route=route.name,
        retry_after=RETRY_SECONDS,
        reason=caller.fault,
    )


def lacking(whose: Identified, route: Route) -> Decision:
    """Refuse a key without the scopes of the route."""
    return Decision(Code.INSUFFICIENT_SCOPE, whose, "", route.name, needed_scopes=route.scopes)


def counted(whose: Identified | None, route: Route, plan: Plan, taken: Taken, now_us: int) -> Decision:
    """Decide by what was taken of the plan, and remember what refused."""
    allowed, usages, shadowed, lease, blocked, _, _ = taken
    if not allowed:
        if blocked is not None:
            return crowded(whose, route, plan, usages, blocked)
        spent = spent_by(usages, now_us)
        if plan.held is not None:
            # A shared store looked some time ago. Beside a cool-down others may have room again by now.
            until_us = plan.held.since_us if plan.held.cools else plan.held.until_us
            spent = spent._replace(until_us=min(spent.until_us, until_us))
        plan.spent = spent
        return limited(whose, route, plan, spent)
    # The commonest decision is built without the named tuple's constructor, which takes twice as long.
    fields = (_ALLOWED, whose, "", route.name, plan.limit_set, usages, (), 0, (), "", shadowed, "", lease)
    return tuple.__new__(Decision, fields)


def crowded(
    whose: Identified | None, route: Route, plan: Plan, usages: tuple[PlainUsage, ...], blocked: Blocked
) -> Decision:
    """Refuse because too many are in flight already. When one of them ends nobody can know."""
    return Decision(
        Code.TOO_MANY_CONCURRENT,
        whose,
        "",
        route.name,
        plan.limit_set,
        usages,
        violated=(blocked.place.limit.name,),
        retry_after=RETRY_SECONDS,
    )


def limited(whose: Identified | None, route: Route, plan: Plan, spent: Spent) -> Decision:
    """Refuse by what is known to be spent."""
    limit_set = plan.cooling_set if spent.code is _COOLING_DOWN else plan.limit_set
    told = (limit_set, spent.usages, spent.violated, spent.retry_after, (), "", (), "", "")
    return tuple.__new__(Decision, (spent.code, whose, "", route.name, *told))
