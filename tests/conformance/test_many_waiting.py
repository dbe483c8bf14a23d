"""Many requests that wait for a slot, in a whole service on each store: what they cost, and who is served."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from itertools import count

from tests.answers import Reply
from tests.conformance import test_in_flight as in_flight
from tests.conformance.test_in_flight import LEASE, InFlight, Run
from tests.waiting import eventually

run = in_flight.run

WAITING = 10_000
MOST_BYTES = 100_000_000
# So many ask before the others get on: a store shall not be asked for all of them at once.
AT_ONCE = 500
QUIET, FLOOD, ROUNDS = 10, 50, 5
AT_WORK = 2
SHARED = {"max": AT_WORK, "queue": FLOOD + QUIET, "wait": "30s", "per": "route"}


def test_ten_thousand_requests_wait_in_little_memory(run: Run) -> None:
    """Whoever waits costs the process a callback and a timer: no task, no thread, and some kilobytes."""

    async def scenario(service: InFlight) -> None:
        await service.lease("r-first")
        before = len(asyncio.all_tasks()) + threading.active_count()
        tracemalloc.start()
        try:
            for first in range(0, WAITING, AT_ONCE):
                for number in range(first, first + AT_ONCE):
                    service.ask(f"r-{number}")
                await service.waits(first + AT_ONCE)
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert used < MOST_BYTES
        # The service's own come and go.
        assert len(asyncio.all_tasks()) + threading.active_count() < before + 20
        for request_id in list(service.pending):
            service.leave(request_id)
        await service.waits(0)

    run(
        scenario,
        concurrency={"max": 1, "queue": WAITING, "wait": "30s"},
        throttle={"max_checks": WAITING + 1},
    )


class Turns:
    """Clients of a limit that they share, by name: who is let in, and how many were since it asked."""

    def __init__(self, service: InFlight, keys: dict[str, str]) -> None:
        self.service = service
        self.served: list[str] = []
        self.others: list[tuple[str, int]] = []
        self._keys = keys
        self._running: list[tuple[str, str]] = []
        self._numbers = count()

    def ask(self, name: str) -> None:
        """Have a client send one more request."""
        request_id, came = f"r-{next(self._numbers)}", len(self.served)

        def let_in(asked: asyncio.Future[Reply]) -> None:
            reply = asked.result()
            if reply.status == 200:
                self._running.append((request_id, reply.headers[LEASE]))
                self.others.append((name, len(self.served) - came))
                self.served.append(name)

        self.service.ask(request_id, key=self._keys[name], path="/shared").add_done_callback(let_in)

    def waited(self, name: str) -> int:
        """Return how many were let in at most while a client waited for a turn.

        Without its first: the keys were made a moment ago, and one whose change is noticed while its check
        waits is judged again, and waits again.
        """
        return max([others for client, others in self.others if client == name][1:])

    async def next(self) -> str:
        """End the request that has run longest, and return who is let in for it."""
        served = len(self.served)
        self.service.end(*self._running.pop(0))
        await eventually(lambda: len(self.served) > served)
        assert len(self.served) == served + 1
        return self.served[-1]


def test_clients_of_a_shared_limit_take_turns_however_many_one_of_them_sends(run: Run) -> None:
    """Beside a flood of one client the others wait for one turn of each, and the flood gets its own."""

    async def scenario(service: InFlight) -> None:
        names = ["flood", *(f"quiet{number}" for number in range(QUIET))]
        turns = Turns(service, {name: (await service.world.create_key(name)).text for name in names})
        for _ in range(AT_WORK):
            turns.ask("flood")
        await eventually(lambda: len(turns.served) == AT_WORK)
        for name in ["flood"] * FLOOD + names[1:]:
            turns.ask(name)
        await service.waits(FLOOD + QUIET)
        for _ in range(ROUNDS * len(names)):
            name = await turns.next()
            if name != "flood":
                waiting = service.world.app.leases.waiting
                turns.ask(name)
                await service.waits(waiting + 1)
        assert max(turns.waited(name) for name in names[1:]) <= len(names)
        assert turns.served.count("flood") >= ROUNDS
        for request_id in list(service.pending):
            service.leave(request_id)
        await service.waits(0)

    routes = [{"path": "/shared", "concurrency": SHARED}]
    run(scenario, concurrency={"max": 1_000}, routes=routes)
