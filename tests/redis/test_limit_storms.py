"""Several limits in several slots of a cluster whose servers stand still and break connections."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest

from extauth.errors import StoreError
from extauth.limits.plan import Plan, take_for
from extauth.model import Limit, Per
from extauth.stores.limits import Seen, Taken, Told
from extauth.throttle.claims import Claim
from extauth.throttle.slots import Concurrency, Place
from tests.redis import slots
from tests.redis.limits import Shared, redis_cluster_limits
from tests.waiting import eventually

pytestmark = pytest.mark.servers

_SECONDS = 2.5
_CLIENTS = 24
_DEADLINE = timedelta(milliseconds=50)
_ANSWERED_WITHIN = 3.0
# What comes back of them in the time of the test is less than one request.
_DAY_US = 86_400_000_000
_KEY = Limit("key", 150, 150, _DAY_US, per=Per.KEY)
_USER = Limit("user", 260, 260, _DAY_US, "sliding_window", per=Per.USER)
_ALL = Limit("all", 420, 420, _DAY_US, per=Per.ALL)
_OWN = Concurrency(3, 700_000, 4, 100_000)
_ROUTE = Concurrency(8, 600_000, 6, 80_000)


class Storm:
    """What goes on, and what came of it; in a cluster each subject is in another slot."""

    def __init__(self, shared: Shared, seed: int) -> None:
        self.shared = shared
        self.chance = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.admitted: Counter[str] = Counter()
        self._made = 0

    def plan(self, number: int, *, in_flight: bool) -> Plan:
        """Return what requests of a key take."""
        whose = ((_KEY, f"key:{number}"), (_USER, f"user:{number % 2}"), (_ALL, "all"))
        takes = [take_for(limit, 1, subject=subject, field=limit.name) for limit, subject in whose]
        own = Place(f"key:{number}/own", _OWN, f"key:{number}", "own")
        places = (own, Place("route:r/shared", _ROUTE, "route:r", "shared"))
        return Plan(takes, places if in_flight else (), f"c{number}")

    async def client(self, number: int, until: float) -> None:
        """Ask again and again; every other client's requests are in flight for a while."""
        loop, store = asyncio.get_running_loop(), self.shared.store
        plan = self.plan(number % 4, in_flight=number % 8 < 4)
        while loop.time() < until:
            self._made += 1
            claim = Claim(f"aaaa-{self._made:x}", f"r-{self._made}") if plan.places else None
            answer: asyncio.Future[Told] = loop.create_future()
            # Raises if it is told twice.
            store.ask(plan, None, answer.set_result, claim)
            told = await asyncio.wait_for(answer, _ANSWERED_WITHIN)
            if not isinstance(told, Taken):
                self.outcomes["no answer"] += 1
            elif told.allowed:
                self.outcomes["in"] += 1
                self.admitted.update(take.bucket for take in plan.takes)
            else:
                self.outcomes["refused"] += 1
            await asyncio.sleep(self.chance.random() / 50)
            if claim is not None and isinstance(told, Taken) and told.lease and self.chance.random() < 0.9:
                store.leases.end_all([(claim.request_id, told.lease)])

    async def break_servers(self, until: float) -> None:
        """Have one server after the other stand still for longer than a check waits, or break something."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(self.chance.random() / 4)
            server = self.chance.choice(self.shared.servers)
            if self.chance.random() < 0.5:
                server.child.pause()
                try:
                    await asyncio.sleep(self.chance.choice([0.02, 0.08, 0.15]))
                finally:
                    server.child.resume()
            else:
                command = self.chance.choice([("CLIENT", "KILL", "TYPE", "normal"), ("SCRIPT", "FLUSH")])
                await asyncio.to_thread(server.ask, *command)

    async def _look(self, plan: Plan) -> Seen:
        async with asyncio.timeout(_ANSWERED_WITHIN):
            while True:
                try:
                    return await self.shared.store.look(plan)
                except StoreError:
                    # What was broken last is connected anew.
                    await asyncio.sleep(0.02)

    async def assert_counted(self) -> None:
        """Hold that each limit let in no more than it gives, and forgot nothing of what it let in."""
        for number in range(4):
            plan = self.plan(number, in_flight=False)
            usages = (await self._look(plan)).usages(plan)
            for take, usage in zip(plan.takes, usages, strict=True):
                let_in = self.admitted[take.bucket]
                assert let_in <= take.limit.capacity + 1, take.bucket
                assert take.limit.capacity - usage.remaining >= let_in - 1, take.bucket


def test_several_limits_hold_however_the_servers_of_a_cluster_fail() -> None:
    """None gives more than it has, what one refuses others don't forget, and no slot stays taken."""

    async def scenario() -> None:
        async with redis_cluster_limits(deadline=_DEADLINE) as shared:
            storm = Storm(shared, seed=1)
            until = asyncio.get_running_loop().time() + _SECONDS
            clients = [storm.client(number, until) for number in range(_CLIENTS)]
            await asyncio.gather(*clients, storm.break_servers(until))
            assert set(storm.outcomes) == {"in", "refused", "no answer"}, storm.outcomes
            left = partial(slots.held, *shared.servers)
            await eventually(lambda: left() == 0, within=_OWN.lease_us / 1e6 + 1)
            await storm.assert_counted()
            slots.assert_all_end(*shared.servers)
            for name in shared.names():
                assert shared.command("PTTL", name) != -1, name

    asyncio.run(scenario())
