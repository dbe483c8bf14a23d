"""Writing usage leaves the store to others: a server's share of its time is small, and no backlog grows."""

from __future__ import annotations

import asyncio
import random

import pytest

from extauth.stores.usage import minute_of
from extauth.usage.tracker import UsageTracker
from extauth.usage.writer import REST
from tests.fakes import FakeClock
from tests.moved_time import run_in_moved_time
from tests.slow_usage import SlowStore, Traffic
from tests.usage import NOW_US


@pytest.mark.parametrize("processes", [1, 4])
def test_a_server_takes_a_fortieth_of_the_stores_time(processes: int) -> None:
    """All its processes together, with more places in use than that is enough for within a second."""

    async def scenario() -> None:
        store = SlowStore()
        trackers = [
            UsageTracker(store, process=f"p{number}", clock=FakeClock(), processes=processes)
            for number in range(processes)
        ]
        traffic = Traffic(*trackers, keys=2_000, chance=random.Random(processes))
        for tracker in trackers:
            tracker.start()
        await traffic.come(20)
        # A place must not wait for long either, so it takes nearly all of that.
        assert 0.75 < store.busy_seconds / 20 * (REST + 1) <= 1

    run_in_moved_time(scenario)


def test_minutes_do_not_pile_up() -> None:
    """Where a minute takes longer to be written than a minute lasts, less time is left to others."""

    async def scenario() -> None:
        store = SlowStore(0.15)
        tracker = UsageTracker(store, process="p", clock=FakeClock())
        traffic = Traffic(tracker, keys=1_000, chance=random.Random(1), each_seconds=0.1)
        tracker.start()
        behind = []
        for _ in range(10):
            await traffic.come(60)
            now = NOW_US // 1_000_000 + asyncio.get_running_loop().time()
            behind.append(now - min(map(minute_of, store.pages["p"])))
        assert 20 * store.seconds * (REST + 1) > 60
        assert max(behind) <= 5 * 60, behind

    run_in_moved_time(scenario)
