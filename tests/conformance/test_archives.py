"""What every archive of limit buckets keeps to; each test runs on every row of the table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from extauth.limits.algorithm import BucketState
from extauth.model import Per
from extauth.stores.limits import BucketArchive
from extauth.throttle.memory import Kept
from extauth.throttle.slots import Concurrency, Place
from tests.stores import ARCHIVES

Run = Callable[[Callable[[BucketArchive], Awaitable[None]]], None]
NOW = 1_772_366_400_000_000


@pytest.fixture(params=list(ARCHIVES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on an archive of its own: once for each kind."""

    def run_scenario(scenario: Callable[[BucketArchive], Awaitable[None]]) -> None:
        async def with_archive() -> None:
            async with ARCHIVES[request.param](tmp_path) as archive:
                await scenario(archive)

        asyncio.run(with_archive())

    return run_scenario


async def loaded(archive: BucketArchive, now_us: int = NOW) -> dict[str, BucketState]:
    """Return what the archive holds."""
    rows = await archive.load(now_us)
    return {bucket: (first, second, third, clear_at_us) for bucket, first, second, third, clear_at_us in rows}


def test_what_is_written_can_be_loaded(run: Run) -> None:
    """Exactly, by its bucket."""

    async def scenario(archive: BucketArchive) -> None:
        assert await loaded(archive) == {}
        states = {
            "key:a:per-second": (1, 999, 2, NOW + 1),
            "ip:2001:db8:::*/per-hour~sliding_window": (0, 3, NOW, NOW + 10**12),
            "the largest": (2**53 - 1, 2**53 - 1, 2**53 - 1, 2**53 - 1),
        }
        await archive.write(states, ())
        assert await loaded(archive) == states

    run(scenario)


def test_a_later_state_replaces_an_earlier_one(run: Run) -> None:
    """One row a bucket."""

    async def scenario(archive: BucketArchive) -> None:
        await archive.write({"a": (1, NOW, 9, NOW + 1), "b": (1, NOW, 9, NOW + 1)}, ())
        await archive.write({"a": (2, NOW + 1, 9, NOW + 2)}, ())
        assert await loaded(archive) == {"a": (2, NOW + 1, 9, NOW + 2), "b": (1, NOW, 9, NOW + 1)}

    run(scenario)


def test_forgotten_buckets_are_dropped(run: Run) -> None:
    """Also those that were never there; one that is written in the same breath stays."""

    async def scenario(archive: BucketArchive) -> None:
        await archive.write({"a": (1, NOW, 9, NOW + 1), "b": (1, NOW, 9, NOW + 1)}, ())
        await archive.write({"b": (2, NOW, 9, NOW + 2)}, {"a", "b", "never"})
        assert await loaded(archive) == {"b": (2, NOW, 9, NOW + 2)}

    run(scenario)


def test_buckets_that_are_full_by_now_are_not_loaded(run: Run) -> None:
    """After a long stop most of what was written says nothing any more."""

    async def scenario(archive: BucketArchive) -> None:
        await archive.write({"full": (1, NOW - 9, 9, NOW), "almost": (1, NOW - 9, 9, NOW + 1)}, ())
        assert set(await loaded(archive)) == {"almost"}

    run(scenario)


LEASE = Kept(
    "p-1",
    "r-1",
    NOW - 5,
    [
        (Place("key:a:concurrency", Concurrency(4, 60_000_000, 8, 500_000), "key:a", "concurrency"), NOW + 7),
        (Place("route", Concurrency(9, 1, 0, 25, "uploads", Per.ROUTE)), 2**53 - 1),
    ],
)


def test_leases_are_handed_over(run: Run) -> None:
    """Exactly, until others are kept, or none: those take the place of what was before."""

    async def scenario(archive: BucketArchive) -> None:
        assert list(await archive.kept_leases()) == []
        await archive.keep_leases([LEASE._replace(name="p-0")])
        await archive.keep_leases([LEASE])
        for _ in range(2):
            (lease,) = await archive.kept_leases()
            assert lease._replace(places=list(lease.places)) == LEASE
        await archive.keep_leases(())
        assert list(await archive.kept_leases()) == []

    run(scenario)
