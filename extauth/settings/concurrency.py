"""How operators write how many requests may be in flight at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from extauth.model import Per
from extauth.settings.base import Section, Whole
from extauth.settings.values import Duration, at_most, format_duration
from extauth.throttle.slots import Concurrency

_MICROSECOND = timedelta(microseconds=1)
# How long a client's own completion signal may be late: with a queue of nobody, so long is waited for it. It
# was 1 to 10 % of a sequential client's requests that overtook theirs, by a few milliseconds.
GRACE = timedelta(milliseconds=25)
_USUAL_WAIT = timedelta(milliseconds=500)
LONGEST_WAIT = timedelta(seconds=30)
_SHORTEST_LEASE = timedelta(seconds=1)
_LONGEST_LEASE = timedelta(days=1)
# Each costs some 3 kB, and the memory of a process shall suffice for many clients' queues.
_MOST_WAITING = 10_000


def _check_wait(wait: timedelta) -> timedelta:
    return at_most(wait, LONGEST_WAIT)


def _check_lease(lease: timedelta) -> timedelta:
    if lease < _SHORTEST_LEASE:
        raise ValueError(f"must be at least {format_duration(_SHORTEST_LEASE)}")
    return check_timeout(lease)


def check_timeout(timeout: timedelta) -> timedelta:
    """Check how long requests of a route may take. Raises ValueError."""
    return at_most(timeout, _LONGEST_LEASE)


class ConcurrencySettings(Section):
    """How many requests may be in flight at once: `{max: 4, queue: 8, wait: 500ms}`."""

    max: Whole = Field(
        ge=1, le=1_000_000, description="How many requests may be in flight at once.", examples=[4]
    )
    per: Literal["key", "user", "ip", "route"] = Field(
        default="key",
        description=(
            "Whose requests it counts together: those of a key, of a user (all keys of it), of a client "
            "address (of IPv6 the first 64 bits), or of a route."
        ),
    )
    queue: Whole = Field(
        default=0,
        ge=0,
        le=_MOST_WAITING,
        description=(
            "How many more may wait until one of them ends. Without a queue a request waits for about 25 ms, "
            "because a client's next request may overtake the report that its last one has ended."
        ),
    )
    wait: Annotated[Duration, AfterValidator(_check_wait)] | None = Field(
        default=None,
        description=(
            "How long a request waits in the queue at most; without it 500ms, at most 30s. Only where there "
            "is a `queue`. The proxy has to be more patient than this."
        ),
    )
    ttl: Annotated[Duration, AfterValidator(_check_lease)] = Field(
        default=timedelta(minutes=1),
        description=(
            "When a request counts as ended whose end no proxy reports, 1s to 1d; the `timeout` of its "
            "route goes before. Shorter than requests take, and more than `max` are let in."
        ),
    )

    @field_validator("wait")
    @classmethod
    def _somebody_can_wait(cls, wait: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if wait is not None and info.data.get("queue") == 0:
            raise ValueError("nobody waits without a 'queue'")
        return wait

    def to_concurrency(self) -> Concurrency:
        """Turn it into what is counted by."""
        wait = (self.wait or _USUAL_WAIT) if self.queue else GRACE
        return Concurrency(
            most=self.max,
            lease_us=self.ttl // _MICROSECOND,
            # No more than `max` signals can be late.
            queue=self.queue or self.max,
            wait_us=wait // _MICROSECOND,
            per=Per(self.per),
            is_grace=not self.queue,
        )
