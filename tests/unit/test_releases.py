"""What becomes of signals: leases are freed once, renewed, swept, and all of it is counted."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from extauth.app import App
from extauth.clock import MICROSECONDS
from extauth.completion.signals import Signal
from extauth.limits.plan import Plan
from extauth.server.connections import ConnectionLimits, Connections
from extauth.stores.limits import Taken, Told
from extauth.stores.memory import MemoryLimitStore
from extauth.telemetry.collector import collector_for
from extauth.throttle import embedded
from extauth.throttle.claims import Claim, Claims
from extauth.throttle.counts import AGE_BOUNDS_US, LeaseCounts
from extauth.throttle.either import EitherLeases
from extauth.throttle.embedded import EmbeddedLeases
from extauth.throttle.memory import Candidate
from extauth.throttle.releases import Releases
from extauth.throttle.slots import Concurrency, Place
from tests.fakes import FakeClock
from tests.waiting import eventually
from tests.world import open_world

KEY = Place("key:a:concurrency", Concurrency(most=9, lease_us=10_000_000, queue=0, wait_us=0))
ROUTE = KEY._replace(bucket="route:exports:concurrency")


def ended(request_id: str, lease: str = "") -> Signal:
    """Return the signal that a request ended."""
    return Signal(request_id, lease, progress=False)


class Rig:
    """Leases with all that ends them."""

    def __init__(self) -> None:
        self.clock, self.counts = FakeClock(), LeaseCounts()
        self.limits = MemoryLimitStore()
        self.leases = self.limits.leases
        self.ends = EmbeddedLeases(self.limits, self.clock, self.counts)
        self.releases = Releases(self.ends)

    def leave(self, name: str) -> None:
        """Have the client of a check leave that has just got its lease."""
        self.ends.let_go(Claim(name, f"request-of-{name}"), name)

    def take(self, *names: str) -> None:
        """Take leases, each of a request of its own."""
        for name in names:
            candidate = Candidate(name, "a", f"request-of-{name}")
            assert self.leases.take(candidate, [KEY, ROUTE], self.clock.now_us()) is None

    @property
    def in_flight(self) -> int:
        """Return how many are held."""
        return self.leases.in_flight(KEY.bucket, self.clock.now_us())


def test_signals_free_leases_once() -> None:
    """By lease or by request, and a lease with two slots counts as one; what is unknown is counted apart."""
    rig = Rig()
    rig.take("L1", "L2", "L3")
    rig.releases.take([ended("request-of-L1", "L1"), ended("request-of-L2")])
    assert rig.in_flight == 1
    rig.releases.take([ended("request-of-L1", "L1"), ended("request-of-L2"), ended("nobody", "L9")])
    assert (rig.counts.by_signal, rig.counts.unknown, rig.in_flight) == (2, 3, 1)
    rig.leave("L3")
    rig.leave("L3")
    assert rig.in_flight == 0
    assert dict(rig.counts.endings()) == {"signal": 2, "disconnect": 1, "expiry": 0}


def test_progress_renews() -> None:
    """A request that still runs keeps its lease; one that nobody speaks of loses it, and that is counted."""
    rig = Rig()
    rig.take("L1", "L2")
    rig.clock.advance(seconds=9)
    rig.releases.take([Signal("request-of-L1", "L1", progress=True)])
    asyncio.run(rig.ends.sweep())
    assert rig.counts.by_expiry == 0
    rig.clock.advance(seconds=2)
    assert rig.in_flight == 1
    # Its signal comes too late, and isn't the end of anything.
    rig.releases.take([ended("request-of-L2", "L2")])
    asyncio.run(rig.ends.sweep())
    assert (rig.counts.by_signal, rig.counts.unknown, rig.counts.by_expiry) == (0, 1, 1)
    rig.releases.take([ended("request-of-L1")])
    assert (rig.counts.by_signal, rig.in_flight) == (1, 0)


def test_ages_are_a_cumulative_histogram() -> None:
    """From taking a lease to the report of its end, whoever reports it; bounds belong to their bucket."""
    rig = Rig()
    for age_us in (0, 5_000, 5_001, 9_000_000):
        rig.take("L")
        rig.clock.advance(microseconds=age_us)
        rig.releases.take([ended("request-of-L")])
    buckets = dict(rig.counts.age_buckets())
    assert len(buckets) == len(AGE_BOUNDS_US) + 1
    assert [buckets[bound] for bound in ("0.005", "0.01", "5.0", "10.0", "+Inf")] == [2, 3, 3, 4, 4]
    assert rig.counts.age_sum_us == 9_010_001
    rig.take("L")
    rig.clock.advance(seconds=-1)
    rig.leave("L")
    assert rig.counts.age_sum_us == 9_010_001


def test_a_lease_is_ended_where_it_is_and_counted_once() -> None:
    """Whether this server gave it out on its own or the shared store did."""
    shared, local = Rig(), Rig()
    counts = shared.counts
    local.ends = EmbeddedLeases(local.limits, local.clock, counts)
    either = EitherLeases(shared.ends, local.ends)
    shared.take("S1", "S2")
    local.take("L1", "L2", "L3")
    for name in ("S1", "L1"):
        either.end_all([(f"request-of-{name}", name)])
        either.end_all([(f"request-of-{name[0]}2", "")])
    assert (shared.in_flight, local.in_flight, counts.by_signal) == (0, 1, 4)
    unknown = counts.unknown
    either.end_all([("request-of-L3", "L3")])
    assert (local.in_flight, counts.unknown) == (0, unknown)
    either.end_all([("request-of-L3", "L3")])
    assert counts.unknown == unknown + 1


def have_one_wait(app: App) -> None:
    """Take the only slot of a limit, and have another check wait for it."""
    slow = Concurrency(most=1, lease_us=60_000_000, queue=1, wait_us=60_000_000)
    plan = Plan((), (Place("key:b:concurrency", slow),), client="b")
    now_us = app.parts.clock.now_us()
    assert app.limits.acquire(plan, now_us, Claim("L3", "request-of-L3")).lease == "L3"
    waiting = Claim("L4", "request-of-L4")
    assert app.parts.queue is not None
    app.parts.queue.wait(plan, waiting, app.limits.acquire(plan, now_us, waiting), lambda _told: None)


def test_a_server_frees_sweeps_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wired as they are in a server: signals that its listener takes, and leases that expire."""
    monkeypatch.setattr(embedded, "_SWEPT_EVERY_SECONDS", 0.02)

    async def scenario() -> None:
        clock = FakeClock()
        async with open_world(tmp_path, clock=clock) as world:
            app = world.app
            for name in ("L1", "L2"):
                app.limits.leases.take(Candidate(name, "a", f"request-of-{name}"), [KEY], clock.now_us())
            app.releases.take([ended("request-of-L1", "L1"), ended("nobody")])
            have_one_wait(app)
            clock.advance(seconds=11)
            await eventually(lambda: app.parts.ends.by_expiry == 1)
            completion = Connections(ConnectionLimits(), now=0)
            completion.refused["401"] += 1
            app.signals.otlp, app.signals.dropped = 2, lambda: 7
            registry = CollectorRegistry()
            connections = Connections(ConnectionLimits(), now=0)
            registry.register(collector_for(app, connections, world.lines, completion=completion))
            page = generate_latest(registry).decode().splitlines()
        for line in (
            "extauth_leases_taken_total 3.0",
            "extauth_queued_checks 1.0",
            'extauth_leases_ended_total{by="signal"} 1.0',
            'extauth_leases_ended_total{by="expiry"} 1.0',
            "extauth_completion_unknown_total 1.0",
            'extauth_completion_signals_total{form="otlp"} 2.0',
            'extauth_completion_unread_total{why="dropped"} 7.0',
            'extauth_completion_refusals_total{status="401"} 1.0',
            "extauth_lease_age_seconds_count 1.0",
        ):
            assert line in page

    asyncio.run(scenario())


def test_a_standstill_of_the_loop_makes_nobody_wait_in_vain() -> None:
    """A report that has come while the process stood still is read before who waits for it is refused."""
    limit = Concurrency(most=1, lease_us=10_000_000, queue=1, wait_us=25_000)
    plan = Plan((), (KEY._replace(limit=limit),), client="a")

    async def scenario() -> None:
        clock, limits, claims = FakeClock(), MemoryLimitStore(), Claims()
        ends = EmbeddedLeases(limits, clock)
        assert limits.acquire(plan, clock.now_us(), claims.new("r-1")).lease
        waiting = claims.new("r-2")
        told: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        ends.wait(plan, waiting, limits.acquire(plan, clock.now_us(), waiting), told.set_result)
        loop = asyncio.get_running_loop()
        (reads, writes), (begins, starter) = socket.socketpair(), socket.socketpair()

        def stand_still() -> None:
            begins.recv(9)
            writes.send(b"r-1")
            # The process gets no time, longer than the wait is.
            time.sleep(2 * limit.wait_us / MICROSECONDS)

        with reads, writes, begins, starter:
            loop.add_reader(reads, lambda: ends.end_all([(reads.recv(9).decode(), "")]))
            loop.add_reader(begins, stand_still)
            starter.send(b"!")
            taken = await told
            loop.remove_reader(reads)
            loop.remove_reader(begins)
        assert isinstance(taken, Taken)
        assert taken.lease

    # Its timers come before what is to be read.
    uvloop.run(scenario())
