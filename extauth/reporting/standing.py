"""How the limits of a key stand right now, and forgetting what the key has spent of them.

Looking takes nothing. A reset is for what one key alone spends: limits that it shares with its user's other
keys, with an address or with everybody stay as they are.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from extauth.clock import MICROSECONDS, Clock, from_us
from extauth.dialects.headers import HeaderWriter
from extauth.errors import NotFoundError
from extauth.keys.asked import Actor
from extauth.limits.cool_down import COOL_DOWN
from extauth.limits.plan import PLAIN_CHARGE, Charge, Plan, Planner, Subjects, Take, UnknownLimitsError
from extauth.model import CALENDAR_MONTH, ApiKey, Limit, LimitSet, Per, Usage
from extauth.stores.base import AuditEntry, KeyStore
from extauth.stores.limits import Seen
from extauth.stores.states import LimitStates
from extauth.throttle.slots import Concurrency, Place

# Whose count a plain request of a key doesn't tell: it depends on where a request comes from or goes to.
_BY_REQUEST = (Per.IP, Per.ROUTE)


class Origin(enum.StrEnum):
    """Where in the settings, or in a record, a limit stands."""

    KEY = "key"
    TIER = "tier"
    ROUTE = "route"
    EVERYBODY = "everybody"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one limit stands for requests that cost so much; `usage` is None where that can't be told.

    `policy` is what the RateLimit-Policy header says of it.
    """

    limit: Limit
    origin: Origin
    policy: str
    cost: int
    usage: Usage | None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it. Times are in whole seconds, rounded up, as clients are told them."""
        limit, usage = self.limit, self.usage
        return {
            "name": limit.name,
            "origin": self.origin.value,
            "per": limit.per.value,
            "policy": self.policy,
            "algorithm": limit.algorithm,
            "quota": limit.is_quota,
            "shadow": limit.shadow,
            "cost": self.cost,
            "capacity": limit.capacity,
            "rate": limit.rate,
            "period_seconds": None if limit.period_us == CALENDAR_MONTH else limit.period_us / MICROSECONDS,
            "remaining": None if usage is None else usage.remaining,
            "reset_seconds": None if usage is None else _seconds(usage.reset_us),
            "retry_seconds": None if usage is None else _seconds(usage.retry_us),
            "would_refuse": None if usage is None else not usage.allowed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """How a limit on requests in flight stands; `count` is None where that can't be told."""

    limit: Concurrency
    origin: Origin
    count: int | None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        limit = self.limit
        return {
            "name": limit.name,
            "origin": self.origin.value,
            "per": limit.per.value,
            "max": limit.most,
            "in_flight": self.count,
            "queue": limit.queue,
            "wait_ms": limit.wait_us // 1_000,
            "expires_seconds": _seconds(limit.lease_us),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStandings:
    """How the limits of a key stand; `problem` says why nobody knows what they are."""

    key_id: str
    limits: tuple[Standing, ...] = ()
    in_flight: tuple[InFlight, ...] = ()
    problem: str = ""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "key_id": self.key_id,
            "limits": [standing.plain() for standing in self.limits],
            "in_flight": [standing.plain() for standing in self.in_flight],
            "problem": self.problem,
        }


def standings_of(
    plan: Plan,
    charge: Charge,
    key: ApiKey | None,
    seen: Seen,
    *,
    writer: HeaderWriter,
    untold: Sequence[Per] = (),
) -> tuple[Standing, ...]:
    """Return how the limits of a plan stand, but for those that count by what is `untold`."""
    return tuple(
        Standing(
            limit=take.limit,
            origin=_origin(take, key),
            policy=policy_of(take.limit, writer),
            # A cool-down counts refusals, and takes nothing of who passes.
            cost=0 if take is plan.cool_down else charge.cost,
            usage=None if take.limit.per in untold else _usage(take, seen),
        )
        for take in plan.all_takes
    )


def in_flight_of(
    plan: Plan, key: ApiKey | None, seen: Seen, *, untold: Sequence[Per] = ()
) -> tuple[InFlight, ...]:
    """Return how the limits on requests in flight stand, but for those that count by what is `untold`."""
    return tuple(
        InFlight(
            limit=place.limit,
            origin=_origin_of_place(place, key),
            count=None if place.limit.per in untold else seen.in_flight.get(place.bucket),
        )
        for place in plan.places
    )


def _origin_of_place(place: Place, key: ApiKey | None) -> Origin:
    if place.field.startswith("route:"):
        return Origin.ROUTE
    # As with rates: see `_origin`.
    return Origin.KEY if key is not None and key.limits and "/" not in place.field else Origin.TIER


def _usage(take: Take, seen: Seen) -> Usage:
    """Return how a limit stands before a request, and whether it would have room for it."""
    state = seen.states.get(take.bucket)
    allowed, _ = take.step(state, take.numbers, seen.now_us)
    return take.look(state, seen.now_us, allowed=allowed)


def _origin(take: Take, key: ApiKey | None) -> Origin:
    scope, slash, _ = take.field.rpartition("/")
    if scope == "*":
        return Origin.EVERYBODY
    if scope.startswith("route:"):
        return Origin.ROUTE
    if key is None:
        return Origin.ANONYMOUS
    # Own limits count the key alone, and so stand in no scope. None of them is a cool-down.
    own = key.limits and not slash and take.limit.algorithm != COOL_DOWN.name
    return Origin.KEY if own else Origin.TIER


def policy_of(limit: Limit, writer: HeaderWriter) -> str:
    """Return what the RateLimit-Policy header says of a limit."""
    head = writer.limits(LimitSet((limit,)), (Usage(limit, True, 0, 0, 0),)).decode("latin-1")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return fields["ratelimit-policy"]


def _seconds(us: int) -> int:
    return -(-us // MICROSECONDS)


class KeyLimits:
    """Shows and resets the limits of keys. `charges` are those of the routes.

    `on_reset` is told the ids of keys whose limits were reset: what this server holds of a refusal goes too.
    """

    def __init__(
        self,
        *,
        store: KeyStore,
        planner: Planner,
        charges: Iterable[Charge],
        states: LimitStates,
        clock: Clock,
        writer: HeaderWriter,
        on_reset: Callable[[Iterable[str]], None] = lambda _key_ids: None,
    ) -> None:
        self._store = store
        self._planner = planner
        self._charges = (PLAIN_CHARGE, *charges)
        self._states = states
        self._clock = clock
        self._writer = writer
        self._on_reset = on_reset

    async def look(self, key_id: str) -> KeyStandings:
        """Return how the limits of plain requests of a key stand. Raises NotFoundError and StoreError."""
        key = await self._get(key_id)
        try:
            limits = self._planner.limits_of(key)
        except UnknownLimitsError as error:
            return KeyStandings(key_id=key_id, problem=str(error))
        plan = self._planner.plan(limits, PLAIN_CHARGE, _subjects(key))
        # Their buckets are those of no request: nobody asks for them.
        told = Plan(
            (take for take in plan.all_takes if take.limit.per not in _BY_REQUEST),
            tuple(place for place in plan.places if place.limit.per not in _BY_REQUEST),
        )
        seen = await self._states.look(told)
        standings = standings_of(plan, PLAIN_CHARGE, key, seen, writer=self._writer, untold=_BY_REQUEST)
        in_flight = in_flight_of(plan, key, seen, untold=_BY_REQUEST)
        return KeyStandings(key_id=key_id, limits=standings, in_flight=in_flight)

    async def reset(self, key_id: str, by: Actor) -> tuple[str, ...]:
        """Forget what a key has spent of the limits that count it alone; return their names.

        Those of routes are among them. Raises NotFoundError and StoreError. The audit entry comes first, so
        that nothing is given back of which there is none; after a fault there may be one without effect.
        """
        key = await self._get(key_id)
        takes = {take.bucket: take for take in self._own_takes(key)}
        names = tuple(dict.fromkeys(take.limit.name for take in takes.values()))
        entry = AuditEntry(
            at=from_us(self._clock.now_us()),
            actor=by.name,
            source=by.source,
            action="key.limits_reset",
            key_id=key_id,
            after={"limits": list(names)},
        )
        await self._store.note(entry)
        try:
            await self._states.reset(Plan(takes.values()))
        finally:
            self._on_reset([key_id])
        return names

    def _own_takes(self, key: ApiKey) -> Iterable[Take]:
        try:
            limits = self._planner.limits_of(key)
        except UnknownLimitsError:
            # Those of routes and of everybody are known all the same.
            limits = ()
        for charge in self._charges:
            plan = self._planner.plan(limits, charge, _subjects(key))
            yield from (take for take in plan.all_takes if take.limit.per is Per.KEY)

    async def _get(self, key_id: str) -> ApiKey:
        key = await self._store.get(key_id)
        if key is None:
            raise NotFoundError(f"no key {key_id!r}")
        return key


def _subjects(key: ApiKey) -> Subjects:
    return Subjects(key_id=key.key_id, user_id=key.user_id, tier=key.tier)
