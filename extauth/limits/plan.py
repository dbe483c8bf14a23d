"""From a request to the limits that it takes, and the names of their buckets.

Worked out once for all requests that are alike.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from extauth.limits.algorithm import Algorithm, BucketState, Numbers, Step, Tell
from extauth.limits.cool_down import COOL_DOWN
from extauth.limits.registry import ALGORITHMS, DEFAULT_ALGORITHM
from extauth.limits.spent import Held, Spent, spent_by
from extauth.model import ApiKey, Limit, LimitSet, Per, Usage
from extauth.throttle.slots import Concurrency, Place

# What limits of everything count under.
EVERYBODY = "all"
_UNKNOWN_ADDRESS = "ip:unknown"
# What follows from a limit is worked out once for all who have it: a server may hold 100,000 plans.
_REMEMBERED_LIMITS = 1_024

# What limits count: requests in a time, or requests in flight.
AnyLimit = Limit | Concurrency


class Take(NamedTuple):
    """One bucket to take from: `subject` says whose it is, and `field` which of theirs.

    `step` and `tell` are the algorithm's, `numbers` those of the limit and the cost.
    """

    limit: Limit
    cost: int
    numbers: Numbers
    step: Step
    tell: Tell
    subject: str
    field: str

    @property
    def bucket(self) -> str:
        """The whole name of the bucket."""
        return f"{self.subject}:{self.field}"

    @property
    def algorithm(self) -> Algorithm:
        """How it counts."""
        return ALGORITHMS[self.limit.algorithm]

    def look(self, state: BucketState | None, now_us: int, *, allowed: bool = True) -> Usage:
        """Return how it stands with nothing taken; with `allowed` False as a refusal tells it."""
        algorithm = self.algorithm
        _, state = algorithm.step(state, algorithm.prepare(self.limit, 0), now_us)
        return Usage(*algorithm.tell(self.limit, self.cost, allowed, state, now_us))


# Its bucket, limit, cost, numbers, step and tell.
PlainTake = tuple[str, Limit, int, Numbers, Step, Tell]


class _EachTime:
    """What each check reads of a plan: together, as members of a base class stand first.

    Where many keys are in use, each piece of memory that none of the processor's caches has costs a check as
    much as a hundred steps of work.
    """

    __slots__ = ("cool_down", "limit_set", "places", "prepared", "spent")


class Plan(_EachTime):
    """What requests of one kind take: `takes` that must all have room, and `shadows` that never refuse.

    Beside them they need a slot of each of `places` until they end, and take their turns as `client`.

    `limit_set` holds the limits of `takes`, in the same order. Lives as long as nothing about it changes.
    """

    __slots__ = (
        "client", "held", "lease_tail", "shadows", "share", "steps", "takes",
    )  # fmt: skip

    def __init__(self, takes: Iterable[Take], places: tuple[Place, ...] = (), client: str = "") -> None:
        self.places = places
        self.client = client
        takes = tuple(takes)
        cool_downs = [take for take in takes if take.limit.algorithm == COOL_DOWN.name]
        takes = tuple(take for take in takes if take not in cool_downs)
        self.takes = tuple(take for take in takes if not take.limit.shadow)
        # It takes nothing, and clients are told of it only while it refuses.
        self.cool_down = cool_downs[0] if cool_downs else None
        self.steps: tuple[PlainTake, ...] = ()
        self.shadows = tuple(take for take in takes if take.limit.shadow)
        self.limit_set = _limit_set(tuple(take.limit for take in self.takes))
        # What refused last, and what a shared store said then.
        self.spent: Spent | None = None
        self.held: Held | None = None
        # What one server gives out of it on its own while the store is gone.
        self.share: Plan | None = None
        # What a store has worked out about it, for itself.
        self.prepared: object = None
        # How it ends the names of leases, where they tell what slots they have.
        self.lease_tail = ""

    def refused_again(self, now_us: int) -> Spent | None:
        """Return the refusal that is known to hold at this time, else None."""
        spent, held = self.spent, self.held
        if spent is not None and spent.since_us <= now_us < spent.until_us:
            return spent
        if held is None or not held.since_us <= now_us < held.until_us:
            if spent is not None and now_us >= spent.until_us and (held is None or now_us >= held.until_us):
                # By a clock that jumps back it would seem to hold again, and others have passed meanwhile.
                self.spent = self.held = None
            return None
        then_us = now_us + held.ahead_us
        takes, rooms = self.takes, held.rooms
        if held.cools and self.cool_down is not None:
            # It may last longer than others refuse.
            takes = (*takes, self.cool_down)
            steps = zip(takes, held.states, strict=True)
            rooms = tuple(take.step(state, take.numbers, then_us)[0] for take, state in steps)
        looks = zip(takes, held.states, rooms, strict=True)
        usages = tuple(take.look(state, then_us, allowed=room) for take, state, room in looks)
        self.spent = spent_by(usages, now_us)
        return self.spent

    def named_steps(self) -> tuple[PlainTake, ...]:
        """Return the takes with the names of their buckets, as plain tuples, which are taken apart faster.

        `steps` has them from now on: only where the buckets are in this process.
        """
        self.steps = tuple((take.bucket, *take[:5]) for take in self.takes)
        return self.steps

    @property
    def cooling_set(self) -> LimitSet:
        """The limits of `takes`, and the one of the cool-down."""
        cool_down = () if self.cool_down is None else (self.cool_down.limit,)
        return _limit_set((*self.limit_set.limits, *cool_down))

    @property
    def all_takes(self) -> tuple[Take, ...]:
        """Those that must have room, then those in shadow, then the cool-down."""
        return self.takes + self.shadows + (() if self.cool_down is None else (self.cool_down,))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Charge:
    """What requests of a route take beside their caller's limits. `route` is empty where it has none.

    `cost` is what they take of each limit. In `shadow` no limit refuses them. `lease_us` is how long they are
    taken to be in flight at most, 0 where the limits say it themselves.
    """

    route: str = ""
    cost: int = 1
    limits: tuple[AnyLimit, ...] = ()
    shadow: bool = False
    lease_us: int = 0


# Routes with nothing of their own share it, and so everything that is worked out from it.
PLAIN_CHARGE = Charge()


class Subjects(NamedTuple):
    """Who a request counts for; empty where there is none."""

    key_id: str = ""
    user_id: str = ""
    tier: str = ""
    address: str = ""


class UnknownLimitsError(LookupError):
    """Nobody can say what a key's limits are: its tier is gone, or its own can't be read."""


class Planner:
    """Knows the limits of tiers, of everybody, and of those without a key.

    `parse_own` reads the limits that a key has of its own, and raises ValueError.
    """

    def __init__(
        self,
        tiers: Mapping[str, tuple[AnyLimit, ...]],
        *,
        parse_own: Callable[[Mapping[str, object]], tuple[AnyLimit, ...]],
        common: tuple[Limit, ...] = (),
        anonymous: tuple[Limit, ...] = (),
    ) -> None:
        self._tiers = tiers
        self._parse_own = parse_own
        self._common = common
        self.anonymous = anonymous

    def limits_of(self, key: ApiKey) -> tuple[AnyLimit, ...]:
        """Return its own limits and its tier's cool-down, else its tier's. Raises UnknownLimitsError."""
        if key.limits:
            try:
                own = self._parse_own(key.limits)
            except ValueError as error:
                raise UnknownLimitsError(f"the key's own limits can't be read: {error}") from error
            of_tier = self._tiers.get(key.tier, ())
            return own + tuple(
                limit for limit in of_tier if isinstance(limit, Limit) and limit.algorithm == COOL_DOWN.name
            )
        try:
            return self._tiers[key.tier]
        except KeyError as error:
            raise UnknownLimitsError(f"tier {key.tier!r} is not configured") from error

    def needs_address(self, limits: tuple[AnyLimit, ...], charge: Charge) -> bool:
        """Tell whether one of the limits of such requests counts by client address."""
        return any(limit.per is Per.IP for limit in (*limits, *charge.limits, *self._common))

    def plan(self, limits: tuple[AnyLimit, ...], charge: Charge, who: Subjects) -> Plan:
        """Return what such requests take: the caller's limits, the route's, then those of everybody."""
        takes: list[Take] = []
        places: list[Place] = []
        parties = {limit.per for limit in (*limits, *charge.limits, *self._common)}
        subjects = {per: _subject(per, charge, who) for per in parties}
        scoped = [(limit, _scope_of_tier(limit, who)) for limit in limits]
        scoped += [(limit, f"route:{charge.route}/") for limit in charge.limits]
        scoped += [(limit, "*/") for limit in self._common]
        for limit, scope in scoped:
            # One text for all limits of a party: there is a plan for each key.
            subject = subjects[limit.per]
            if subject is None:
                continue
            if isinstance(limit, Concurrency):
                places += _places(limit, charge, subject, scope=scope)
            else:
                takes += _takes(limit, charge, subject, scope=scope)
        return Plan(_told_apart(takes), tuple(places), client=_client(who) if places else "")


def _told_apart(takes: Iterable[Take]) -> Iterator[Take]:
    """Give limits that repeat a name another one to be told by: `name-2`. Buckets keep theirs.

    A key's own limits may be called like those of settings that came into force after them.
    """
    told: set[str] = set()
    for take in takes:
        name, number = take.limit.name, 1
        while name in told:
            number += 1
            name = f"{take.limit.name}-{number}"
        told.add(name)
        yield take if number == 1 else take._replace(limit=take.limit._replace(name=name))


@lru_cache(maxsize=_REMEMBERED_LIMITS)
def _limit_set(limits: tuple[Limit, ...]) -> LimitSet:
    """Return the same set for the same limits: answers are prepared for each set, not for each key."""
    return LimitSet(limits)


def subject_of_address(address: str) -> str:
    """Return who a client address counts as; of IPv6 it is the first 64 bits.

    Those below are one customer's to choose (RFC 6177, RFC 8981). IPv4 in IPv6 is IPv4.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _UNKNOWN_ADDRESS
    if isinstance(parsed, ipaddress.IPv4Address):
        return f"ip:{parsed}"
    if parsed.ipv4_mapped is not None:
        return f"ip:{parsed.ipv4_mapped}"
    network = ipaddress.IPv6Address(int(parsed) >> 64 << 64)
    return f"ip:{network}"


def _takes(limit: Limit, charge: Charge, subject: str, *, scope: str) -> Iterator[Take]:
    # In shadow nothing refuses.
    if not (charge.shadow and limit.algorithm == COOL_DOWN.name):
        limit, field = _charged(limit, charge.shadow, scope)
        yield take_for(limit, charge.cost, subject=subject, field=field)


@lru_cache(maxsize=_REMEMBERED_LIMITS)
def _charged(limit: Limit, in_shadow: bool, scope: str) -> tuple[Limit, str]:  # noqa: FBT001 - a cache's key
    """Return the limit as it is charged, and which bucket of its subject it is: the same for all callers."""
    # A name that stays the same when the configuration changes, so that counts survive it. Another algorithm
    # can't read the state, and starts anew.
    kind = "" if limit.algorithm == DEFAULT_ALGORITHM else f"~{limit.algorithm}"
    return limit._replace(shadow=limit.shadow or in_shadow), f"{scope}{limit.name}{kind}"


def _places(limit: Concurrency, charge: Charge, subject: str, *, scope: str) -> Iterator[Place]:
    # In shadow nothing refuses.
    if not charge.shadow:
        if charge.lease_us:
            limit = limit._replace(lease_us=charge.lease_us)
        field = f"{scope}{limit.name}"
        yield Place(f"{subject}:{field}", limit, subject, field)


def _client(who: Subjects) -> str:
    """Return who takes turns with others where a limit is shared."""
    return f"key:{who.key_id}" if who.key_id else subject_of_address(who.address)


def take_for(limit: Limit, cost: int, *, subject: str, field: str) -> Take:
    """Work out what taking this cost of a subject's limit means."""
    algorithm = ALGORITHMS[limit.algorithm]
    return Take(
        limit=limit,
        cost=cost,
        numbers=_numbers(limit, cost),
        step=algorithm.step,
        tell=algorithm.tell,
        subject=subject,
        field=field,
    )


@lru_cache(maxsize=_REMEMBERED_LIMITS)
def _numbers(limit: Limit, cost: int) -> Numbers:
    """Return the same numbers for all callers with the same limit."""
    return ALGORITHMS[limit.algorithm].prepare(limit, cost)


def _subject(per: Per, charge: Charge, who: Subjects) -> str | None:
    """Return whose bucket it is, None where the request has no such party."""
    if per is Per.KEY:
        return f"key:{who.key_id}" if who.key_id else None
    if per is Per.USER:
        return f"user:{who.user_id}" if who.user_id else None
    if per is Per.IP:
        return subject_of_address(who.address)
    return f"route:{charge.route}" if per is Per.ROUTE else EVERYBODY


def _scope_of_tier(limit: AnyLimit, who: Subjects) -> str:
    # A key that changes its tier takes its count along. What several keys share must not mix up tiers.
    return "" if limit.per is Per.KEY else f"tier:{who.tier}/"
