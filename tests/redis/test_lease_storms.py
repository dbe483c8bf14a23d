"""Many clients that behave badly while connections to Redis are cut: limits hold, and all are answered."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from extauth.limits.plan import Plan
from extauth.stores.limits import Taken, Told
from extauth.stores.redis import layout
from extauth.throttle.claims import Claim
from extauth.throttle.slots import Concurrency, Place
from tests.redis import slots
from tests.redis.limits import Shared, redis_cluster_limits, redis_limits
from tests.waiting import eventually

pytestmark = pytest.mark.servers

_SECONDS = 2.0
_CLIENTS = 24
# Also the processing of all that Redis was not there for.
_ANSWERED_WITHIN = 3.0
_OWN = Concurrency(3, 700_000, 4, 200_000)
_ROUTE = Concurrency(5, 600_000, 6, 150_000)
Opened = Callable[[], AbstractAsyncContextManager[Shared]]


class Storm:
    """What goes on, and what came of it."""

    def __init__(self, shared: Shared, seed: int) -> None:
        self.shared = shared
        self.chance = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.cuts = 0
        self._made = 0

    def plan(self, client: str) -> Plan:
        """Return what a client's requests need: in a cluster their slots are on two servers."""
        own = Place(f"key:{client}/own", _OWN, f"key:{client}", "own")
        return Plan((), (own, Place("route:r/shared", _ROUTE, "route:r", "shared")), client)

    async def client(self, client: str, until: float) -> None:
        """Ask again and again, and let some requests end unreported, twice, or by their id alone."""
        loop, leases = asyncio.get_running_loop(), self.shared.store.leases
        plan = self.plan(client)
        while loop.time() < until:
            self._made += 1
            claim = Claim(f"aaaa-{self._made:x}", f"r-{self._made}")
            answer: asyncio.Future[Told] = loop.create_future()
            self.shared.store.ask(plan, None, partial(self._heard, answer), claim)
            if self.chance.random() < 0.2:
                loop.call_later(self.chance.random() / 10, claim.leave)
            told = await asyncio.wait_for(answer, _ANSWERED_WITHIN)
            self.outcomes[_outcome(told)] += 1
            if isinstance(told, Taken) and told.lease:
                await asyncio.sleep(self.chance.random() / 50)
                how = self.chance.choice(["lease", "lease", "id", "both", "renewed", "never"])
                if how == "renewed":
                    leases.renew(claim.request_id, told.lease)
                if how in {"lease", "both", "renewed"}:
                    leases.end_all([(claim.request_id, told.lease)])
                if how in {"id", "both"}:
                    leases.end_all([(claim.request_id, "")])
            else:
                await asyncio.sleep(0.005)

    def _heard(self, answer: asyncio.Future[Told], told: Told) -> None:
        # Raises if it is told twice.
        answer.set_result(told)

    async def watch_and_cut(self, until: float) -> None:
        """Look that no limit is exceeded, and cut connections: in one task, lest the looks are cut."""
        loop = asyncio.get_running_loop()
        places = {place for number in range(4) for place in self.plan(f"c{number}").places}
        while loop.time() < until:
            for place in places:
                # Those count too that have ended, and that nobody has struck off yet.
                name = f"{layout.slots_of(place.subject, place.field)}:leases"
                held = await asyncio.to_thread(self.shared.command, "ZCARD", name)
                assert 0 <= held <= place.limit.most, name
            await asyncio.to_thread(slots.assert_all_end, *self.shared.servers)
            if self.chance.random() < 0.3:
                server = self.chance.choice(self.shared.servers)
                kind = self.chance.choice(["normal", "pubsub"])
                self.cuts += int(await asyncio.to_thread(server.ask, "CLIENT", "KILL", "TYPE", kind))


def _outcome(told: Told) -> str:
    if not isinstance(told, Taken):
        return "no answer"
    return "in" if told.allowed else "refused"


@pytest.mark.parametrize("opened", [redis_limits, redis_cluster_limits])
def test_limits_hold_and_everything_ends_however_connections_break(opened: Opened) -> None:
    """No more than the limit at any moment; each check is answered once; what is left ends by itself."""

    async def scenario() -> None:
        async with opened() as shared:
            storm = Storm(shared, seed=1)
            until = asyncio.get_running_loop().time() + _SECONDS
            clients = [storm.client(f"c{number % 4}", until) for number in range(_CLIENTS)]
            await asyncio.gather(*clients, storm.watch_and_cut(until))
            assert set(storm.outcomes) == {"in", "refused", "no answer"}, storm.outcomes
            assert storm.cuts > 3
            left = partial(slots.held, *shared.servers)
            await eventually(lambda: left() == 0, within=_OWN.lease_us / 1e6 + 1)
            await eventually(lambda: slots.waiting(*shared.servers) == 0, within=1)
            slots.assert_all_end(*shared.servers)

    asyncio.run(scenario())
