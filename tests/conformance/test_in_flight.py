"""Requests in flight, in a whole service on each store: who gets a slot, who waits, how slots come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from extauth.clock import SystemClock
from extauth.completion.signals import Signal
from extauth.dialects.base import Answer, RequestHead
from extauth.server.responder import Pending
from extauth.throttle import embedded
from tests.answers import Reply, reply_of
from tests.redis.server import cluster_url, shared_cluster, shared_server
from tests.waiting import eventually
from tests.world import World, open_world

LEASE = "x-extauth-lease"
RATE = "100/second burst 1000"


def _store(row: str) -> dict[str, Any]:
    """Return the settings of a store that is as empty as a new one; none for the embedded one."""
    if row == "embedded":
        return {}
    servers = (shared_server(),) if row == "redis" else shared_cluster()
    for server in servers:
        server.ask("FLUSHALL")
        server.ask("SCRIPT", "FLUSH")
    url = servers[0].url if row == "redis" else cluster_url(servers)
    return {"url": url, "timeout": "10s"}


class InFlight:
    """A service, a key of it, and requests by their ids."""

    def __init__(self, world: World, key: str, *, is_embedded: bool) -> None:
        self.world = world
        self.is_embedded = is_embedded
        self.key = key
        self.pending: dict[str, Pending] = {}

    def ask(
        self, request_id: str, *, key: str = "", path: str = "/", address: str = "192.0.2.7"
    ) -> asyncio.Future[Reply]:
        """Ask as Envoy does; the future gets the answer, now or later."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(answer: Answer) -> None:
            self.pending.pop(request_id, None)
            answered.set_result(reply_of(answer))

        lines = {
            b"host": b"api.example.com",
            b"x-request-id": request_id.encode(),
            b"x-extauth-client-ip": address.encode(),
            b"x-api-key": (key or self.key).encode(),
        }
        responder = self.world.app.responder
        answer = responder.respond(RequestHead(b"GET", b"/envoy" + path.encode(), lines))
        if isinstance(answer, Pending):
            self.pending[request_id] = answer
            responder.begin(answer._replace(done=done))
        else:
            done(answer)
        return answered

    async def lease(self, request_id: str, **asked: Any) -> str:
        """Ask, expect to be let in, and return the lease."""
        reply = await self.ask(request_id, **asked)
        assert reply.status == 200, reply
        return reply.headers[LEASE]

    async def refused(self, request_id: str, **asked: Any) -> Reply:
        """Ask, and expect to be refused because too many are in flight."""
        reply = await self.ask(request_id, **asked)
        assert (reply.status, reply.code) == (429, "too_many_concurrent_requests"), reply
        assert LEASE not in reply.headers
        return reply

    def end(self, request_id: str, lease: str = "") -> None:
        """Report the end of a request."""
        self.world.app.releases.take([Signal(request_id, lease, progress=False)])

    def renew(self, request_id: str, lease: str = "") -> None:
        """Report that a request still runs."""
        self.world.app.releases.take([Signal(request_id, lease, progress=True)])

    def leave(self, request_id: str) -> None:
        """Have nobody wait for the answer any more."""
        self.world.app.responder.abandon(self.pending[request_id])

    async def waits(self, count: int) -> None:
        """Wait until so many checks wait for a slot."""
        await eventually(lambda: self.world.app.leases.waiting == count)


Scenario = Callable[[InFlight], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("redis", marks=pytest.mark.servers),
        pytest.param("redis-cluster", marks=pytest.mark.servers),
    ]
)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on a service of this tier, with a key that has been verified."""

    @asynccontextmanager
    async def opened(sections: dict[str, Any]) -> AsyncIterator[InFlight]:
        store = _store(request.param)
        if store:
            sections |= {
                "store": store,
                "keys": {"peppers": ["a pepper of these tests, long enough for one"]},
            }
        async with open_world(tmp_path, clock=SystemClock(), **sections) as world:
            issued = await world.create_key()
            yield InFlight(world, issued.text, is_embedded=not store)

    def run_scenario(scenario: Scenario, *, concurrency: dict[str, Any], **sections: Any) -> None:
        tiers = {"default": {"rates": [RATE], "concurrency": concurrency}}

        async def whole() -> None:
            async with opened({"tiers": tiers, "failure": {"deadline": "2s"}, **sections}) as service:
                await scenario(service)

        asyncio.run(whole())

    return run_scenario


def test_no_more_than_the_limit_are_in_flight_until_one_ends(run: Run) -> None:
    """A slot is free again once its request's end is reported, and not before."""

    async def scenario(service: InFlight) -> None:
        first, second = await service.lease("r-1"), await service.lease("r-2")
        assert first != second
        refused = await service.refused("r-3")
        assert refused.headers["retry-after"] == "1"
        assert refused.problem["violated-policies"] == ["concurrency"]
        service.end("r-1", first)
        third = await service.lease("r-4")
        await service.refused("r-5")
        service.end("r-1", first)
        await service.refused("r-6")
        assert third not in {first, second}

    run(scenario, concurrency={"max": 2})


def test_a_request_without_a_lease_ends_by_its_id(run: Run) -> None:
    """A proxy that never learnt the lease frees it by the request's id, and only that request's."""

    async def scenario(service: InFlight) -> None:
        await service.lease("r-1")
        await service.lease("r-2")
        service.end("r-unknown")
        await service.refused("r-3")
        service.end("r-1")
        await service.lease("r-4")
        await service.refused("r-5")

    run(scenario, concurrency={"max": 2})


def test_a_waiter_gets_the_slot_that_is_freed(run: Run) -> None:
    """With a queue a request gets a slot as soon as one is free, first come first served."""

    async def scenario(service: InFlight) -> None:
        lease = await service.lease("r-1")
        second = service.ask("r-2")
        await service.waits(1)
        third = service.ask("r-3")
        await service.waits(2)
        full = await service.refused("r-4")
        assert full.headers["retry-after"] == "1"
        service.end("r-1", lease)
        given = await second
        assert given.status == 200
        assert not third.done()
        service.end("r-2", given.headers[LEASE])
        assert (await third).status == 200
        await service.waits(0)

    run(scenario, concurrency={"max": 1, "queue": 2, "wait": "30s"})


def test_a_waiter_whose_client_leaves_gives_up_its_place(run: Run) -> None:
    """Who left holds no place in the queue and gets no slot; the next one does, and alone counts."""

    async def scenario(service: InFlight) -> None:
        lease = await service.lease("r-1")
        second = service.ask("r-2")
        await service.waits(1)
        service.leave("r-2")
        await service.waits(0)
        assert (await second).status == 429
        third = service.ask("r-3")
        await service.waits(1)
        service.end("r-1", lease)
        assert (await third).status == 200
        # Of what is given out and what is ended the metrics tell how many reports are lost.
        assert service.world.app.leases.taken == 2
        await eventually(lambda: service.world.app.parts.ends.by_signal == 1)

    run(scenario, concurrency={"max": 1, "queue": 1, "wait": "30s"})


def test_a_late_signal_of_the_client_itself_is_waited_for(run: Run) -> None:
    """Without a queue a request still waits a moment, and passes if the end of the last one comes by then."""

    async def scenario(service: InFlight) -> None:
        for number in range(20):
            asked = service.ask(f"r-{number}")
            if number:
                service.end(f"r-{number - 1}")
            assert (await asked).status == 200

    run(scenario, concurrency={"max": 1})


def test_whoever_waits_in_vain_is_refused_and_forgotten(run: Run) -> None:
    """After its wait a request is refused; nobody is left in the queue, and the slot is free for the next."""

    async def scenario(service: InFlight) -> None:
        lease = await service.lease("r-1")
        await service.refused("r-2")
        await service.waits(0)
        service.end("r-1", lease)
        await service.lease("r-3")

    run(scenario, concurrency={"max": 1, "queue": 1, "wait": "50ms"})


def test_a_waiter_is_held_to_its_rates_when_its_turn_comes(run: Run) -> None:
    """Who waits has taken nothing; one whose rates are spent meanwhile is refused, and the next is called."""

    async def scenario(service: InFlight) -> None:
        other = (await service.world.create_key("user-1")).text
        lease = await service.lease("r-1")
        second = service.ask("r-2")
        await service.waits(1)
        third = service.ask("r-3", key=other)
        await service.waits(2)
        assert (await service.ask("r-free", path="/free")).status == 200
        service.end("r-1", lease)
        reply = await second
        assert (reply.status, reply.code) == (429, "rate_limited")
        assert (await third).status == 200

    tiers = {
        "default": {
            "rates": ["2/hour"],
            "concurrency": {"max": 1, "queue": 4, "wait": "30s", "per": "user"},
        }
    }
    routes = [{"path": "/free", "shadow": True, "limits": []}]
    run(scenario, concurrency={}, tiers=tiers, routes=routes)


def test_a_refusal_for_slots_spends_no_rate(run: Run) -> None:
    """What is refused because too many are in flight has taken nothing of the rates."""

    async def scenario(service: InFlight) -> None:
        reply = await service.ask("r-1")
        remaining = reply.headers["x-ratelimit-remaining"]
        for number in range(5):
            refused = await service.refused(f"r-2-{number}")
            assert refused.headers["x-ratelimit-remaining"] == remaining

    tiers = {"default": {"rates": ["9/hour"], "concurrency": {"max": 1}}}
    run(scenario, concurrency={}, tiers=tiers)


def test_slots_of_several_limits_are_taken_all_or_none(run: Run) -> None:
    """A request that its route has no slot for holds none of its key's."""

    async def scenario(service: InFlight) -> None:
        other = (await service.world.create_key("user-2")).text
        lease = await service.lease("r-1", path="/exports")
        refused = await service.refused("r-2", path="/exports", key=other)
        assert refused.problem["violated-policies"] == ["route-concurrency"]
        for number in (3, 4):
            await service.lease(f"r-{number}", key=other)
        await service.refused("r-5", key=other)
        service.end("r-1", lease)
        await service.refused("r-6", path="/exports", key=other)
        service.end("r-3")
        await service.lease("r-7", path="/exports", key=other)

    routes = [{"path": "/exports", "concurrency": {"max": 1, "per": "route"}}]
    run(scenario, concurrency={"max": 2}, routes=routes)


def test_a_lease_whose_end_nobody_reports_ends_by_itself(run: Run) -> None:
    """After the route's timeout a request counts as ended, unless its proxy has told that it still runs."""

    async def scenario(service: InFlight) -> None:
        await service.lease("r-1", path="/short")
        kept = await service.lease("r-2", path="/short")
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.2
        while loop.time() < until:
            service.renew("r-2", kept)
            await asyncio.sleep(0.1)
        await service.lease("r-3", path="/short")
        await service.refused("r-4", path="/short")

    run(scenario, concurrency={"max": 2, "ttl": "1m"}, routes=[{"path": "/short", "timeout": "1s"}])


def test_all_leases_of_a_request_end_by_its_id_however_long_each_is(run: Run) -> None:
    """A request may be checked twice, the second time on a route with a shorter timeout."""

    async def scenario(service: InFlight) -> None:
        await service.lease("r-1")
        await service.lease("r-1", path="/short")
        while (await service.ask("r-2")).status != 200:
            pass
        service.end("r-1")
        await service.lease("r-3")
        await service.refused("r-4")

    run(scenario, concurrency={"max": 2, "ttl": "1m"}, routes=[{"path": "/short", "timeout": "1s"}])


def test_operators_see_how_many_are_in_flight(run: Run) -> None:
    """By limit, those that are held now; looking changes nothing."""

    async def scenario(service: InFlight) -> None:
        issued = await service.world.create_key("user-3")

        async def seen() -> list[tuple[str, int | None]]:
            told = await service.world.app.admin._services.limits.look(issued.record.key_id)
            return [(each.limit.name, each.count) for each in told.in_flight]

        assert await seen() == [("concurrency", 0)]
        lease = await service.lease("r-1", key=issued.text)
        await service.lease("r-2", key=issued.text)
        await service.lease("r-3")
        for _ in range(2):
            assert await seen() == [("concurrency", 2)]
        service.end("r-1", lease)
        await service.lease("r-4", key=issued.text)
        await service.refused("r-5", key=issued.text)
        service.end("r-2")
        service.end("r-4")
        await service.lease("r-6", key=issued.text)
        assert await seen() == [("concurrency", 1)]

    run(scenario, concurrency={"max": 2})


def test_reports_that_mean_nothing_change_nothing(run: Run) -> None:
    """What is no lease, or another's, frees nothing and disturbs nobody."""

    async def scenario(service: InFlight) -> None:
        lease = await service.lease("r-1")
        # Behind the mark stands whose request it is, which frees nothing either.
        bare, mark, _ = lease.partition("~")
        others = (bare[:-1], bare + "A", bare.upper(), bare[:-1] + lease[len(bare) :], mark)
        for nonsense in ("x", "." * 100, "\N{BULLET}", *others):
            service.end("r-1x", nonsense)
            service.renew("r-1x", nonsense)
        await service.refused("r-2")
        service.end("r-1", lease)
        await service.lease("r-3")

    run(scenario, concurrency={"max": 1})


def test_an_end_that_is_reported_before_the_check_is_answered_is_remembered(run: Run) -> None:
    """A client may leave so early that its request's end overtakes the check: that one gets no slot."""

    async def scenario(service: InFlight) -> None:
        service.end("r-left")
        await service.refused("r-left")
        lease = await service.lease("r-1")
        await service.refused("r-2")
        service.end("r-1", lease)
        await service.lease("r-3")

    run(scenario, concurrency={"max": 1})


def test_a_request_that_is_reported_as_running_before_its_check_is_answered_may_go_on(run: Run) -> None:
    """Envoy tells that a request still runs while its check waits for a slot: that is no end."""

    async def scenario(service: InFlight) -> None:
        lease = await service.lease("r-1")
        waits = service.ask("r-2")
        await service.waits(1)
        service.renew("r-2")
        service.end("r-1", lease)
        service.end("r-2", (await waits).headers[LEASE])
        service.renew("r-3")
        await service.lease("r-3")

    run(scenario, concurrency={"max": 1, "queue": 1, "wait": "30s"})


def test_a_key_that_is_revoked_while_its_request_waits_gets_no_slot(run: Run) -> None:
    """Who comes out of the queue is judged as whoever comes now; the slot goes to the next."""

    async def scenario(service: InFlight) -> None:
        other = await service.world.create_key()
        lease = await service.lease("r-1")
        waits = service.ask("r-2", key=other.text)
        await service.waits(1)
        await service.world.revoke(other.record)
        if service.is_embedded:
            # What others change is noticed within a moment; a shared store is asked each time.
            service.world.app.records.forget([other.record.key_id])
        service.end("r-1", lease)
        reply = await waits
        assert (reply.status, reply.code) == (401, "invalid_key")
        await service.lease("r-3")

    run(scenario, concurrency={"max": 1, "queue": 2, "wait": "30s", "per": "user"})


def test_routes_may_be_called_as_they_like(run: Run) -> None:
    """Whatever their name, what they have in flight ends when it is reported."""

    async def scenario(service: InFlight) -> None:
        for path in ("/spaces", "/" + "x" * 400):
            lease = await service.lease(f"r-1{path}", path=path)
            await service.refused(f"r-2{path}", path=path)
            service.end(f"r-1{path}", lease)
            service.end(f"r-3{path}", await service.lease(f"r-3{path}", path=path))

    routes = [
        {"path": "/spaces", "name": "exports of all", "concurrency": {"max": 1}},
        {"path": "/" + "x" * 400, "concurrency": {"max": 1, "per": "route"}},
    ]
    run(scenario, concurrency={"max": 9}, routes=routes)


def test_leases_whose_end_nobody_reports_are_counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost signals show, at the latest when the limit is used again."""
    monkeypatch.setattr(embedded, "_SWEPT_EVERY_SECONDS", 0.1)

    async def scenario(service: InFlight) -> None:
        ends = service.world.app.parts.ends
        await service.lease("r-1", path="/short")
        await service.lease("r-2", path="/short")
        await asyncio.sleep(1.05)
        service.end("r-3", await service.lease("r-3", path="/short"))
        await eventually(lambda: (ends.by_expiry, ends.by_signal) == (2, 1))

    run(scenario, concurrency={"max": 2, "ttl": "1m"}, routes=[{"path": "/short", "timeout": "1s"}])
