"""What every limit algorithm is: pure functions. They know no store, no clock and no key.

Each has a twin in Lua, which Redis runs, in the file of the same name. Both are held to the same vectors.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from extauth.model import Limit, PlainUsage

# What is remembered of one bucket between requests: four whole numbers below 2**53, which Lua has exactly.
# What the first three are is the algorithm's own business; the last is `clear_at_us` (microseconds since
# 1970): from then on nothing is spent any more, and the state can be forgotten. A plain tuple, because one is
# made for each limit of each check.
BucketState = tuple[int, int, int, int]

# What a step has to know of a limit and a cost: five whole numbers below 2**53, worked out beforehand.
Numbers = tuple[int, int, int, int, int]


class Prepare(Protocol):
    """Work out the numbers of a limit for requests that cost so much. A cost of 0 looks without taking."""

    def __call__(self, limit: Limit, cost: int, /) -> Numbers:
        """Return them."""
        ...


class Step(Protocol):
    """A pure step `(state, numbers, now_us) -> (allowed, state)`.

    `state` is None for a bucket nobody has used, which is the same as one with nothing spent. What comes back
    is the state as of now, with the cost taken if it was allowed. A cost of 0 is always allowed, but by
    a cool-down. `now_us` may jump in either direction: a jump back only means that no time has passed.

    Of a refusal's state only `clear_at_us` tells whether it must be kept: it moves where the clock jumped
    back or the limit was changed, and then the time told to wait holds only from that state on. Otherwise the
    state is the one before, looked at later.
    """

    def __call__(
        self, state: BucketState | None, numbers: Numbers, now_us: int, /
    ) -> tuple[bool, BucketState]:
        """Take the cost at `now_us` if there is room."""
        ...


class GiveBack(Protocol):
    """Undo a step that was allowed a moment ago; never gives back more than was spent."""

    def __call__(self, state: BucketState | None, numbers: Numbers, now_us: int, /) -> BucketState:
        """Return the state with the cost given back."""
        ...


class Tell(Protocol):
    """Say how a limit stands after a step of these `(allowed, state)` for this cost.

    Whoever was refused is told to wait for a microsecond at least. A cost beyond the capacity can never pass:
    what it is told is the time in which a whole bucket is refilled, the length of a sliding window, or the
    time until a fixed one ends. That slows down whoever asks, and promises nothing.
    """

    def __call__(
        self,
        limit: Limit,
        cost: int,
        allowed: bool,  # noqa: FBT001 - as written in each algorithm
        state: BucketState,
        now_us: int,
        /,
    ) -> PlainUsage:
        """Return the usage; all its times count from `now_us`."""
        ...


class Algorithm(NamedTuple):
    """One way to count. `number` is what Lua calls it, and never changes."""

    name: str
    number: int
    prepare: Prepare
    step: Step
    give_back: GiveBack
    tell: Tell
