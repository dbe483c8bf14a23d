"""Counts outlive the process: a restart, a failed write, and, but for a second's worth, a kill."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from extauth.errors import StoreError
from extauth.model import Limit, Usage
from extauth.stores import write_behind
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.write_behind import WRITE_EVERY_SECONDS, WriteBehind
from extauth.throttle.memory import Kept
from extauth.throttle.slots import Concurrency, Place
from tests.fakes import FakeClock, MemoryArchive
from tests.limits import plan_of
from tests.stores import sqlite_archive
from tests.waiting import eventually

# A request each 43 minutes.
LIMIT = Limit("per-month", 100_000, 1_000, 2_592_000_000_000)
EACH_US = 2_592_000_000


class Rig:
    """A memory store with its archive, as one server has them; it notes what is reported."""

    def __init__(self, archive: MemoryArchive, clock: FakeClock) -> None:
        self.archive = archive
        self.clock = clock
        self.store = MemoryLimitStore()
        self.heard: list[str] = []
        self.write_behind = WriteBehind(
            self.store,
            archive,
            clock,
            on_failure=lambda error: self.heard.append(str(error)),
            on_success=lambda: self.heard.append("fine"),
        )

    def take(self, key: str = "a", limit: Limit = LIMIT) -> int:
        """Take one, and return how much is spent."""
        (usage,) = self.store.acquire(plan_of(limit, key=key), self.clock.now_us()).usages
        return limit.capacity - Usage(*usage).remaining

    @property
    def keys(self) -> list[str]:
        """Whose buckets the archive holds."""
        return sorted(bucket.split(":")[1] for bucket in self.archive.rows)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write more often than servers do, so that no test waits for it."""
    monkeypatch.setattr(write_behind, "WRITE_EVERY_SECONDS", 0.02)


async def stop(task: asyncio.Task[None]) -> None:
    """End a task that runs for ever."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_a_restart_keeps_counts(tmp_path: Path, clock: FakeClock) -> None:
    """What was counted until the end goes on after the next start, in the real archive."""

    async def one_server(takes: int) -> int:
        async with sqlite_archive(tmp_path) as archive:
            store = MemoryLimitStore()
            write_behind = WriteBehind(store, archive, clock, on_failure=print, on_success=lambda: None)
            await write_behind.restore()
            answers = [store.acquire(plan_of(LIMIT), clock.now_us()) for _ in range(takes)]
            await write_behind.flush()
            return LIMIT.capacity - Usage(*answers[-1].usages[0]).remaining

    assert asyncio.run(one_server(70)) == 70
    assert asyncio.run(one_server(1)) == 71


@pytest.mark.usefixtures("quick")
def test_it_writes_without_being_told(clock: FakeClock) -> None:
    """At least every second, and only what has changed; when nothing has, nothing is written."""

    async def scenario() -> None:
        rig = Rig(MemoryArchive(), clock)
        rig.take()
        running = asyncio.create_task(rig.write_behind.run())
        await eventually(lambda: rig.keys == ["a"])
        await rig.write_behind.flush()
        assert (rig.archive.writes, rig.heard) == (1, ["fine"])
        await stop(running)

    assert WRITE_EVERY_SECONDS <= 0.5
    asyncio.run(scenario())


def test_a_failed_write_is_reported_and_tried_again(clock: FakeClock) -> None:
    """Counts stay in memory meanwhile, and what comes in between is written with the rest."""

    async def scenario() -> None:
        rig = Rig(MemoryArchive(), clock)
        rig.take("a")
        rig.archive.failure = StoreError("disk full")
        await rig.write_behind.flush()
        rig.take("b")
        assert rig.take("a") == 2
        await rig.write_behind.flush()
        rig.archive.failure = None
        await rig.write_behind.flush()
        assert rig.heard == ["disk full", "disk full", "fine"]
        assert rig.keys == ["a", "b"]
        assert rig.archive.rows[plan_of(LIMIT, key="a").takes[0].bucket][0] == 2 * EACH_US

    asyncio.run(scenario())


def test_a_fault_that_nobody_foresaw_does_not_end_the_writing(clock: FakeClock) -> None:
    """It is reported like a failed write, and the counts are there at the next try."""

    async def scenario() -> None:
        rig = Rig(MemoryArchive(), clock)
        rig.take()
        rig.archive.failure = OverflowError("planted")  # type: ignore[assignment]  # what an archive must never raise
        await rig.write_behind.flush()
        assert rig.heard == ["OverflowError('planted')"]
        rig.archive.failure = None
        await rig.write_behind.flush()
        assert rig.keys == ["a"]

    asyncio.run(scenario())


def test_the_end_writes_the_rest_and_closes(clock: FakeClock) -> None:
    """A server that is told to stop loses nothing."""

    async def scenario() -> None:
        rig = Rig(MemoryArchive(), clock)
        rig.take()
        await rig.write_behind.close()
        assert rig.keys == ["a"]
        assert rig.archive.closed

    asyncio.run(scenario())


def test_a_write_that_the_end_interrupts_is_done_again(clock: FakeClock) -> None:
    """The task is cancelled in the middle of a write of which nobody knows whether it will be done."""

    async def scenario() -> None:
        rig = Rig(MemoryArchive(), clock)
        rig.take()
        rig.archive.held = asyncio.Event()
        writing = asyncio.create_task(rig.write_behind.flush())
        await asyncio.sleep(0)
        await stop(writing)
        rig.archive.held = None
        await rig.write_behind.close()
        assert rig.keys == ["a"]

    asyncio.run(scenario())


@pytest.mark.usefixtures("quick")
def test_full_buckets_leave_memory_and_archive(clock: FakeClock) -> None:
    """Neither grows with the keys that were ever used."""
    quick = Limit("per-second", 10, 10, 1_000_000)

    async def scenario() -> None:
        rig = Rig(MemoryArchive(), clock)
        rig.take("quick", quick)
        rig.take("slow")
        await rig.write_behind.flush()
        assert rig.keys == ["quick", "slow"]
        clock.advance(seconds=1)
        running = asyncio.create_task(rig.write_behind.run())
        await eventually(lambda: rig.keys == ["slow"])
        await stop(running)
        assert len(rig.store) == 1

    asyncio.run(scenario())


def test_full_buckets_are_not_restored(clock: FakeClock) -> None:
    """After a long stop nothing is left of short limits."""
    quick = Limit("per-second", 10, 10, 1_000_000)

    async def scenario() -> None:
        first = Rig(MemoryArchive(), clock)
        first.take("quick", quick)
        first.take("slow")
        await first.write_behind.flush()
        clock.advance(seconds=60)
        second = Rig(first.archive, clock)
        await second.write_behind.restore()
        assert len(second.store) == 1
        assert second.take("slow") == 2

    asyncio.run(scenario())


@pytest.mark.usefixtures("quick")
def test_a_start_that_fails_loses_no_lease(clock: FakeClock) -> None:
    """Nor one that is broken off: what was kept is forgotten once the server runs."""
    lease = Kept("L1", "r-1", 0, [(Place("key:a:concurrency", Concurrency(1, 1_000, 0, 0)), 2**52)])

    async def scenario() -> None:
        archive = MemoryArchive()
        archive.leases = [lease]
        failing = Rig(archive, clock)
        archive.failure = StoreError("disk full")
        with pytest.raises(StoreError):
            await failing.write_behind.restore()
        archive.failure = None
        await failing.write_behind.close()
        assert archive.leases == [lease]
        killed = Rig(archive, clock)
        await killed.write_behind.restore()
        assert archive.leases == [lease]
        archive.failure = StoreError("disk full")
        running = asyncio.create_task(killed.write_behind.run())
        await eventually(lambda: set(killed.heard) == {"disk full"})
        archive.failure = None
        await eventually(lambda: not archive.leases)
        assert len(killed.store.leases) == 1
        await stop(running)

    asyncio.run(scenario())


# A server that takes one of its limit each millisecond and says how many it has taken, until it is killed.
_COUNTING_SERVER = """
import asyncio, sys
from pathlib import Path
from extauth.clock import SystemClock
from extauth.limits.plan import PLAIN_CHARGE, Planner, Subjects
from extauth.model import Limit, Usage
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.sqlite_archive import SqliteBucketArchive
from extauth.stores.write_behind import WriteBehind

async def main():
    archive, store, clock = SqliteBucketArchive(Path(sys.argv[1])), MemoryLimitStore(), SystemClock()
    await archive.open()
    behind = WriteBehind(store, archive, clock, on_failure=print, on_success=lambda: None)
    running = asyncio.create_task(behind.run())
    limit = Limit("per-month", 100_000, 1_000, 2_592_000_000_000)
    plan = Planner({}, parse_own=dict).plan((limit,), PLAIN_CHARGE, Subjects(key_id="a"))
    while True:
        store.acquire(plan, clock.now_us())
        print(clock.now_us(), flush=True)
        await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_what_cannot_be_written_at_the_end_keeps_nobody(clock: FakeClock) -> None:
    """It is told, and the file is let go."""
    rig = Rig(MemoryArchive(), clock)

    async def scenario() -> None:
        await rig.write_behind.restore()
        rig.archive.failure = StoreError("disk full")
        await rig.write_behind.close()

    asyncio.run(scenario())
    assert rig.heard == ["disk full"]
    assert rig.archive.closed


def test_a_kill_costs_at_most_a_second_of_counting(tmp_path: Path) -> None:
    """In the middle of counting: all but the last second's requests still count at the next start."""
    file = tmp_path / "extauth-limits.db"
    server = subprocess.Popen(
        [sys.executable, "-c", _COUNTING_SERVER, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    taken_us = [int(server.stdout.readline())]
    while taken_us[-1] < taken_us[0] + 1_300_000:
        taken_us.append(int(server.stdout.readline()))
    server.kill()
    taken_us += [int(line) for line in server.communicate(timeout=10)[0].split("\n")[:-1]]

    async def counted() -> int:
        async with sqlite_archive(tmp_path) as archive:
            ((_, owed_us, _, _, _),) = await archive.load(taken_us[-1])
            # Rounded up: what was refilled in this time is less than one request.
            return -(-owed_us // EACH_US)

    at_least = sum(moment <= taken_us[-1] - 1_000_000 for moment in taken_us)
    assert at_least > 50
    assert at_least <= asyncio.run(counted()) <= len(taken_us)
