"""What Redis's answers mean: usages in the order of a plan, and what may be held on to of a refusal."""

from __future__ import annotations

from typing import Any

from extauth.limits.plan import Plan
from extauth.limits.spent import cool, hold
from extauth.stores.limits import Seen, Taken
from extauth.stores.redis.limits.asking import (
    FIRST_ANSWER,
    Found,
    Question,
    Standing,
    expired_in,
    found_in,
    read_answer,
    state_at,
)
from extauth.throttle.slots import Blocked


def taken(asked: Question, values: tuple[int, ...], now_us: int, asked_us: int) -> Taken:
    """Return what an answer says in which all had room."""
    form = asked.form
    usages = []
    for tell, limit, cost, at in form.tells:
        state: Any = values[at : at + 4]
        usages.append(tell(limit, cost, True, state, now_us))
    expired = values[-1] if form.has_slots else 0
    if not form.has_shadows:
        told = (True, tuple(usages), (), asked.lease, None, expired, asked_us)
        return tuple.__new__(Taken, told)
    shadowed = (take.limit.name for take, place in asked.shadows if not values[place.room])
    return Taken(
        allowed=True,
        usages=tuple(usages),
        shadowed=tuple(shadowed),
        lease=asked.lease,
        expired=expired,
        asked_us=asked_us,
    )


def blocked(asked: Question, values: tuple[int, ...], now_us: int, limit: Blocked) -> Taken:
    """Nothing was taken, because all slots of a limit are."""
    usages = tuple(take.look(state_at(values, place), now_us) for take, place in asked.enforced)
    return Taken(allowed=False, usages=usages, blocked=limit, expired=expired_in(asked, values))


def refused(plan: Plan, asked: Question, values: tuple[int, ...], now_us: int, asked_us: int) -> Taken:
    """Nothing was taken. Hold on to what is known, so that a flood against it doesn't get as far as Redis."""
    enforced, cools = asked.enforced, asked.cool_down
    states = tuple(state_at(values, place) for _, place in enforced)
    usages = tuple(
        take.look(state, now_us, allowed=bool(values[place.room]))
        for (take, place), state in zip(enforced, states, strict=True)
    )
    if cools is not None and not values[cools[1].room]:
        cool_down, place = cools
        states += (state_at(values, place),)
        usages += (cool_down.look(states[-1], now_us, allowed=False),)
    plan.held = hold(usages, states, asked_us=asked_us, store_now_us=now_us)
    return Taken(allowed=False, usages=usages, expired=expired_in(asked, values))


def counted(asked: Question, values: tuple[int, ...], now_us: int) -> Standing:
    """Return how a cool-down stands after violations of it were counted."""
    ((cool_down, place),) = asked.placed  # nothing else is asked about with them
    state = state_at(values, place)
    return Standing(cool_down.step(state, cool_down.numbers, now_us)[0], state)


def violated(plan: Plan, asked: Question, values: tuple[int, ...], now_us: int, asked_us: int) -> None:
    """Hold on to the cool-down that violations have begun, if they have."""
    room, state = counted(asked, values, now_us)
    if room or state is None or plan.held is None or plan.cool_down is None:
        return
    usage = plan.cool_down.look(state, now_us, allowed=False)
    plan.held = cool(
        plan.held, len(plan.takes), state, usage.retry_us, asked_us=asked_us, store_now_us=now_us
    )
    if plan.spent is not None:
        # What was repeated until now knows nothing of it.
        plan.spent = plan.spent._replace(until_us=plan.spent.since_us)


def looked_at(asked: Question, reply: bytes) -> Found:
    """Return how limits stand that were only looked at."""
    values, _ = read_answer(asked, reply, FIRST_ANSWER)
    assert values is not None  # no version was asked about
    return found_in(asked, values)


def seen(found: Found, now_us: int) -> Seen:
    """Return the same as a store tells it."""
    states = ((bucket, standing.state) for bucket, standing in found.items())
    return Seen(now_us, {bucket: state for bucket, state in states if state is not None})
