"""What is known of limits that refuse: for a while, further requests are refused without asking for them.

Only time gives back what was spent, so a refusal holds until the first of the refusing limits could pass. A
flood against a spent limit then costs less than requests that are let in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from extauth.clock import MICROSECONDS
from extauth.limits.algorithm import BucketState
from extauth.limits.cool_down import COOL_DOWN
from extauth.model import Code, Limit, PlainUsage, Usage

# How old what refusals say of the limits may be, in microseconds: `remaining` of those that would allow grows
# meanwhile. Clients can't tell.
KNOWN_FOR_US = 10_000
# How long a shared store is not asked about a spent limit, in microseconds: after this long a change of the
# key and a reset of the limit, which nobody tells this server of, are noticed.
HELD_FOR_US = 1_000_000
# The same of a cool-down, of which a shared store needn't hear while it lasts.
COOLING_FOR_US = 60_000_000


class Spent(NamedTuple):
    """A refusal, and from when until when it may be repeated word for word. `retry_after` is in seconds."""

    since_us: int
    until_us: int
    code: Code
    usages: tuple[PlainUsage, ...]
    violated: tuple[str, ...]
    retry_after: int


def spent_by(usages: tuple[PlainUsage, ...], now_us: int) -> Spent:
    """Return what follows from usages of which one at least refused."""
    refusing = [limit for limit, allowed, *_ in usages if not allowed]
    waits_us = [retry_us for _, allowed, _, _, retry_us in usages if not allowed]
    return Spent(
        since_us=now_us,
        until_us=now_us + min(KNOWN_FOR_US, *waits_us),
        code=code_of(refusing),
        usages=usages,
        violated=tuple(limit.name for limit in refusing),
        # Rounded up, so that whoever waits so long passes.
        retry_after=-(-max(waits_us) // MICROSECONDS),
    )


def code_of(refusing: Iterable[Limit]) -> Code:
    """Return what a refusal by these limits is called."""
    code = Code.RATE_LIMITED
    for limit in refusing:
        if limit.algorithm == COOL_DOWN.name:
            return Code.COOLING_DOWN
        if limit.is_quota:
            code = Code.QUOTA_EXCEEDED
    return code


class Held(NamedTuple):
    """What a shared store said when it refused, in the order of the plan's takes.

    If it `cools`, the cool-down is the last; what else refuses has to be looked at anew then.
    It holds from `since_us` until `until_us` of this server's clock, which the store's is `ahead_us` of.
    """

    since_us: int
    until_us: int
    ahead_us: int
    rooms: tuple[bool, ...]
    states: tuple[BucketState | None, ...]
    cools: bool = False


def cool(
    held: Held, others: int, state: BucketState, retry_us: int, *, asked_us: int, store_now_us: int
) -> Held:
    """Return what is held on to once a cool-down has begun; the `others` are the limits beside it."""
    return Held(
        since_us=asked_us,
        until_us=asked_us + min(COOLING_FOR_US, retry_us),
        ahead_us=store_now_us - asked_us,
        rooms=(*held.rooms[:others], False),
        states=(*held.states[:others], state),
        cools=True,
    )


def hold(
    usages: tuple[Usage, ...], states: tuple[BucketState | None, ...], *, asked_us: int, store_now_us: int
) -> Held:
    """Return what may be held on to of a refusal that was asked for at `asked_us` of this server's clock.

    The store looked later than that, so the times that it told end later than they are taken to end here.
    """
    cools = usages[-1].limit.algorithm == COOL_DOWN.name
    if cools:
        # It refuses whatever becomes of the others.
        longest_us = min(COOLING_FOR_US, usages[-1].retry_us)
    else:
        longest_us = min(HELD_FOR_US, *(usage.retry_us for usage in usages if not usage.allowed))
    return Held(
        since_us=asked_us,
        until_us=asked_us + longest_us,
        ahead_us=store_now_us - asked_us,
        rooms=tuple(usage.allowed for usage in usages),
        states=states,
        cools=cools,
    )
