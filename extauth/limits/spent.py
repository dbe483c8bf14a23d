"""What is known of limits that refuse: for a moment, further requests are refused without looking again.

Only time gives back what was spent, so a refusal holds until the first of the refusing limits could pass. A
flood against a spent limit then costs less than requests that are let in.
"""

from __future__ import annotations

from typing import NamedTuple

from extauth.clock import MICROSECONDS
from extauth.model import Usage

# How old what refusals say of the limits may be, in microseconds: `remaining` of those that would allow grows
# meanwhile, and an operator may have reset one. Clients can't tell.
KNOWN_FOR_US = 10_000


class Spent(NamedTuple):
    """A refusal, and from when until when it may be repeated word for word. `retry_after` is in seconds."""

    since_us: int
    until_us: int
    usages: tuple[Usage, ...]
    violated: tuple[str, ...]
    retry_after: int


def spent_by(usages: tuple[Usage, ...], now_us: int) -> Spent:
    """Return what follows from usages of which one at least refused."""
    refusing = [usage for usage in usages if not usage.allowed]
    waits_us = [usage.retry_us for usage in refusing]
    return Spent(
        since_us=now_us,
        until_us=now_us + min(KNOWN_FOR_US, *waits_us),
        usages=usages,
        violated=tuple(usage.limit.name for usage in refusing),
        # Rounded up, so that whoever waits so long passes.
        retry_after=-(-max(waits_us) // MICROSECONDS),
    )
