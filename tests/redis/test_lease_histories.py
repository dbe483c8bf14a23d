"""Whatever clients, proxies and connections do: Redis gives slots to whom one process would give them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauth.clock import SystemClock
from extauth.errors import StoreError
from extauth.limits.plan import Plan
from extauth.stores.limits import Taken, Told
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.redis import layout
from extauth.throttle.claims import Claim
from extauth.throttle.embedded import EmbeddedLeases
from extauth.throttle.leases import Leases
from extauth.throttle.slots import Concurrency, Place
from tests.redis import slots
from tests.redis.limits import Shared, redis_limits
from tests.waiting import eventually

pytestmark = pytest.mark.servers

# Longer than any of this takes.
_MINUTE_US = 60_000_000
# As `redis_limits` has it.
_PROCESS = "aaaa"


class Step(NamedTuple):
    """What to do: `number` says to which of the claims made before, `client` for whom a new one is."""

    what: str
    number: int
    client: str


class Outcomes:
    """What became of each claim of a store."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self.claims: list[Claim] = []
        self.told: dict[str, Told] = {}

    def claim(self, client: str) -> Claim:
        """Make the next claim; some requests have more than one."""
        number = len(self.claims)
        self.claims.append(Claim(f"{_PROCESS}-{number:x}", f"{client}{number % 5}"))
        return self.claims[-1]

    def heard(self, claim: Claim, told: Told) -> None:
        """Take the answer to a claim, of which there is one."""
        assert claim.name not in self.told
        self.told[claim.name] = told

    def lease(self, claim: Claim) -> str:
        """Return the lease of a claim; nothing where it has none."""
        told = self.told.get(claim.name)
        return told.lease if isinstance(told, Taken) else ""

    def seen(self) -> dict[str, str]:
        """Return by name who was let in or refused; others wait."""
        return {
            name: "in" if isinstance(told, Taken) and told.allowed else "refused"
            for name, told in self.told.items()
        }


class Both:
    """A Redis and the reference, to which the same is done."""

    def __init__(self, shared: Shared, limit: Concurrency, route: Concurrency) -> None:
        self.shared = shared
        self.limits = (limit, route)
        self.memory = MemoryLimitStore()
        self.clock = SystemClock()
        self.embedded = EmbeddedLeases(self.memory, self.clock)
        self.there = Outcomes(shared.store.leases)
        self.here = Outcomes(self.embedded)

    def plan(self, client: str) -> Plan:
        """Return what a client's requests need: a slot of its own limit, and one of its route's."""
        limit, route = self.limits
        own = Place(f"key:{client}/own", limit, f"key:{client}", "own")
        return Plan((), (own, Place("route:r/shared", route, "route:r", "shared")), client)

    def do(self, step: Step) -> None:
        """Do it to both."""
        if step.what == "ask":
            self._ask(step.client)
        elif self.here.claims:
            for of in (self.here, self.there):
                self._do_to(of, step)

    def _do_to(self, of: Outcomes, step: Step) -> None:
        claim = of.claims[step.number % len(of.claims)]
        lease = of.lease(claim)
        if step.what == "leave" and claim.name not in of.told:
            claim.leave()
        elif step.what == "end" and lease:
            of.leases.end_all([(claim.request_id, lease)])
        elif step.what == "end by id":
            of.leases.end_all([(claim.request_id, "")])
        elif step.what == "renew" and lease:
            of.leases.renew(claim.request_id, lease)
        elif step.what == "renew by id":
            of.leases.renew(claim.request_id)

    def _ask(self, client: str) -> None:
        claim, plan = self.here.claim(client), self.plan(client)
        taken = self.memory.acquire(plan, self.clock.now_us(), claim)
        told = partial(self.here.heard, claim)
        if taken.blocked is not None and taken.blocked.waits:
            self.embedded.wait(plan, claim, taken, told)
        else:
            told(taken)
        claim = self.there.claim(client)
        self.shared.store.ask(self.plan(client), None, partial(self.there.heard, claim), claim)

    async def agree(self) -> None:
        """Wait until the same has come of it, and hold that no limit is exceeded and that all ends."""
        for _ in range(8):
            await asyncio.sleep(0)
        try:
            await eventually(lambda: self._in_redis() == self._in_memory(), within=2)
        except AssertionError:
            # For what differs to be told.
            assert self._in_redis() == self._in_memory()
            raise
        slots.assert_all_end(*self.shared.servers)

    def _in_redis(self) -> object:
        (server,) = self.shared.servers
        held = [slots.held(server, of=base) for base, _ in self._places()]
        return self.there.seen(), slots.waiting(server), held

    def _in_memory(self) -> object:
        now_us = self.clock.now_us()
        held = [self.memory.leases.in_flight(place.bucket, now_us) for _, place in self._places()]
        assert all(count <= place.limit.most for count, (_, place) in zip(held, self._places(), strict=True))
        return self.here.seen(), self.here.leases.waiting, held

    def _places(self) -> list[tuple[str, Place]]:
        places = {place for client in "abc" for place in self.plan(client).places}
        return sorted((layout.slots_of(place.subject, place.field), place) for place in places)

    async def cut(self) -> None:
        """Cut the connections, and wait until there are new ones."""
        (server,) = self.shared.servers
        for kind in ("normal", "pubsub"):
            server.ask("CLIENT", "KILL", "TYPE", kind)
        channel = f"extauth:calls:{_PROCESS}"
        await eventually(lambda: server.ask("PUBSUB", "NUMSUB", channel)[1] == (1 if self.here.claims else 0))
        while True:
            try:
                await self.shared.store.look(Plan((), self.plan("a").places))
            except StoreError:
                await asyncio.sleep(0.005)
            else:
                break
        # All who wait ask Redis again, as they may have missed a call. Whose request is over by then, as was
        # reported, is refused; so they ask here too.
        for name in list(self.embedded._room.waiters):
            self.embedded._room.call(name)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Concurrency, Concurrency, list[Step]]:
    """Draw limits, and what happens."""
    limits = [
        Concurrency(draw(st.integers(1, 3)), _MINUTE_US, draw(st.integers(0, 3)), _MINUTE_US)
        for _ in range(2)
    ]
    words = ["ask"] * 6 + ["end"] * 3 + ["end by id", "renew", "renew by id", "leave", "leave", "cut"]
    step = st.builds(Step, st.sampled_from(words), st.integers(0, 30), st.sampled_from("abc"))
    return limits[0], limits[1], draw(st.lists(step, min_size=1, max_size=25))


@settings(max_examples=30)
@given(history=histories())
def test_any_history(history: tuple[Concurrency, Concurrency, list[Step]]) -> None:
    """After each step the same ones were let in, were refused and wait, and no limit is exceeded."""
    limit, route, steps = history

    async def scenario() -> None:
        async with redis_limits() as shared:
            both = Both(shared, limit, route)
            for step in steps:
                if step.what == "cut":
                    await both.cut()
                else:
                    both.do(step)
                await both.agree()

    asyncio.run(scenario())
