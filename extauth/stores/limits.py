"""What stores of limits keep to, whatever they count in. Those of key records are in `base.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from extauth.errors import StoreError
from extauth.limits.algorithm import BucketState
from extauth.limits.plan import Plan, Take
from extauth.model import PlainUsage, Usage
from extauth.throttle.claims import Claim
from extauth.throttle.leases import Leases
from extauth.throttle.memory import Kept
from extauth.throttle.slots import Blocked


class Taken(NamedTuple):
    """What came of taking: one usage for each limit of the plan that is not in shadow, in its order.

    The cool-down's is the last of them, and only there while it refuses. `shadowed` names the limits in
    shadow that would have refused. `lease` names the slots that were taken, `blocked` says of which limit
    there was none; then nothing was taken of the others either. `expired` leases had ended by themselves.
    A shared store was asked for what it took at `asked_us` by this server's clock: since then the key is
    known to be good. It is 0 where the store doesn't say.
    """

    allowed: bool
    usages: tuple[PlainUsage, ...]
    shadowed: tuple[str, ...] = ()
    lease: str = ""
    blocked: Blocked | None = None
    expired: int = 0
    asked_us: int = 0


class LimitStore(Protocol):
    """Takes limits. All of one request are taken in one step, or none."""

    def acquire(self, plan: Plan, now_us: int, claim: Claim | None = None, *, may_wait: bool = True) -> Taken:
        """Take from every bucket of the plan if all of them have room, else from none.

        Limits in shadow are taken beside that, where they have room, if the request is allowed. A refusal is
        a violation of the plan's cool-down. With a `claim` it needs the slots of the plan too; where one has
        none, the claim waits in its queue if there is room and it `may_wait`.
        """
        ...

    def violate(self, cool_down: Take, now_us: int) -> Usage:
        """Count a refusal that it was not asked for, and return how the cool-down stands then."""
        ...


# What a shared store has to say: what was taken; None where the key's record has another version, so that
# nothing was; or why it can't tell.
Told = Taken | StoreError | None
OnTold = Callable[[Told], None]


class Seen(NamedTuple):
    """The states of buckets by name, without those that nobody used, and when by the store's clock.

    `in_flight` is how many requests are, by the bucket of their place, as far as the store can tell.
    """

    now_us: int
    states: Mapping[str, BucketState]
    in_flight: Mapping[str, int] = MappingProxyType({})

    def usages(self, plan: Plan) -> tuple[Usage, ...]:
        """Return how the limits of the plan stand, those in shadow and the cool-down last."""
        return self.usages_of(plan.all_takes)

    def usages_of(self, takes: Iterable[Take]) -> tuple[Usage, ...]:
        """Return how the limits of these takes stand."""
        return tuple(take.look(self.states.get(take.bucket), self.now_us) for take in takes)


class Known(Protocol):
    """A key's record as far as it is known here: in which version."""

    @property
    def key_id(self) -> str:
        """Whose record it is."""
        ...

    @property
    def version(self) -> int:
        """Which version it had: 1 at least."""
        ...


class SharedLimitStore(Protocol):
    """Takes limits that servers share, by its own clock, in one step with a look at the key's record."""

    @property
    def trouble(self) -> str:
        """Why the store is not asked at the moment, because it didn't answer lately; empty if it is."""
        ...

    @property
    def leases(self) -> Leases:
        """The leases of its slots."""
        ...

    def ask(self, plan: Plan, record: Known | None, on_told: OnTold, claim: Claim | None = None) -> None:
        """Have the plan taken if the record still has this version; None where there is no key.

        `on_told` is called once, in a later turn of the loop, within the store's deadline; with a `claim`
        that waits for a slot, within what the limit lets it wait besides.
        """
        ...

    def violate(self, plan: Plan) -> None:
        """Count a refusal that it was not asked for; the plan has a cool-down.

        It is told a moment later, together with others. Once the cool-down has begun, the plan knows it.
        """
        ...

    async def look(self, plan: Plan) -> Seen:
        """Return how the limits of the plan stand, and take nothing. Raises StoreError."""
        ...

    async def reset(self, plan: Plan) -> None:
        """Forget what was spent of the limits of the plan. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Queue(Protocol):
    """Where checks wait for slots that are counted in this process."""

    def wait(self, plan: Plan, claim: Claim, taken: Taken, on_told: OnTold) -> None:
        """Have a check wait that may by what was `taken`; `on_told` gets its answer in a later turn."""
        ...


class BucketArchive(Protocol):
    """Where the memory limit store's buckets outlive the process. Every method may raise StoreError."""

    async def load(self, now_us: int) -> Sequence[tuple[str, int, int, int, int]]:
        """Return rows of a bucket's name and the four numbers of its `BucketState`.

        Those of which nothing is spent any more are dropped.
        """
        ...

    async def write(self, states: Mapping[str, BucketState], forgotten: Collection[str]) -> None:
        """Keep these states and drop the forgotten buckets; durable once it returns."""
        ...

    async def keep_leases(self, kept: Sequence[Kept]) -> None:
        """Keep the leases that are held at the end of a process, and no others."""
        ...

    async def kept_leases(self) -> Sequence[Kept]:
        """Return the leases that were kept."""
        ...

    async def close(self) -> None:
        """Let go of the file."""
        ...
