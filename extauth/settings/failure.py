"""The section about what is answered while the store can't be asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from extauth.settings.base import Fraction, Section
from extauth.settings.values import Duration, at_most

_LONGEST_DEADLINE = timedelta(seconds=10)


def _check_deadline(deadline: timedelta) -> timedelta:
    return at_most(deadline, _LONGEST_DEADLINE)


class FailureSettings(Section):
    """What is answered while the store fails.

    The defaults let nobody in unseen, and nothing uncounted: `closed` trades availability for that, the other
    two trade it back.
    """

    authentication: Literal["closed", "open", "degrade"] = Field(
        default="closed",
        description=(
            "Where the store can't be asked about a key. `closed`: 503. `degrade`: a key that the store "
            "confirmed within `failure.honour` goes on working, all others get 503; one that was revoked "
            "meanwhile works until that time is over. `open`: it goes on working however long ago that was, "
            "and on routes without scopes, if `failure.limits` is `open` too, every key whose tag fits is "
            "let in unseen: revoked, disabled and expired ones too, for nobody can tell. A forged or a "
            "missing key never is."
        ),
    )
    limits: Literal["closed", "open", "degrade"] = Field(
        default="closed",
        description=(
            "Where the store can't count. `closed`: 503. `degrade`: each process (with `workers` each of "
            "them) counts for itself, and gives out `failure.share` of each limit. `open`: limits are not "
            "counted, so that nothing bounds what a key may use."
        ),
    )
    honour: Duration = Field(
        default=timedelta(seconds=60),
        description=(
            "With `authentication: degrade`: how long after the store last confirmed it a key goes on "
            "working, and so how long a revocation may be overlooked."
        ),
    )
    share: Fraction = Field(
        default=0.25,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description=(
            "With `limits: degrade`: the part of each limit that one process gives out for itself. With one "
            "by the number of processes, which is that of servers times `workers`, all together stay within "
            "the limit; with more, they exceed it."
        ),
    )
    deadline: Annotated[Duration, AfterValidator(_check_deadline)] = Field(
        default=timedelta(milliseconds=50),
        description=(
            "How long a check waits for the store at most, up to 10s; then the store counts as failed for it."
        ),
    )
