"""Usage on its way from any store to any other: told there as here, and added once however often it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from extauth.errors import StoreError
from extauth.moving.usage import move_usage
from extauth.stores.usage import DAY_SECONDS, STEPS, Cell, Kind, Period, Place, UsageStore
from tests.fakes import FakeClock
from tests.stores import USAGE_STORES
from tests.usage import NOON, PLACE, batch, counts

Scenario = Callable[[UsageStore, UsageStore], Awaitable[None]]
Run = Callable[[Scenario], None]
_PAIRS = {
    "sqlite": ("sqlite", "redis", "redis-cluster"),
    "redis": ("sqlite", "redis-cluster"),
    "redis-cluster": ("sqlite",),
}
_ROWS = [
    pytest.param(
        (source, target),
        id=f"{source} to {target}",
        marks=[] if source == target == "sqlite" else [pytest.mark.servers],
    )
    for source, targets in _PAIRS.items()
    for target in targets
]
# More than are compared at a time, and a name with characters that stores write in another way.
PLACES = [PLACE, Place("k 2", 'u%{}"|1', 'ti"er', "ro[u]te {x}")] + [
    Place(f"n{number}", f"v{number // 3}", "pro", f"r{number % 4}") for number in range(150)
]


@pytest.fixture(params=_ROWS)
def run_both(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on two stores, both empty."""
    source, target = request.param

    def run_scenario(scenario: Scenario) -> None:
        async def with_stores() -> None:
            async with (
                USAGE_STORES[source](tmp_path / "source") as here,
                USAGE_STORES[target](tmp_path / "target") as there,
            ):
                await scenario(here, there)

        asyncio.run(with_stores())

    return run_scenario


async def fill(store: UsageStore, *, first: int = 1) -> None:
    """Count in three minutes: of today, of some days and of many weeks ago."""
    number = first
    for ago in (0, 5 * DAY_SECONDS, 200 * DAY_SECONDS):
        for start in range(0, len(PLACES), store.at_once):
            part = PLACES[start : start + store.at_once]
            told = [(place, counts(1 + at, 2, n5=7, n19=1)) for at, place in enumerate(part)]
            await store.add(batch(number, *told, minute=NOON - ago))
            number += 1


async def everything(store: UsageStore) -> set[tuple[Period, Cell]]:
    """Return all that a store tells of the periods it keeps."""
    found = set()
    for step in STEPS:
        for number in range(step.period(step.oldest(NOON)), step.period(NOON) + 1):
            for kind in (Kind.ALL, Kind.KEY, Kind.USER):
                period = Period(step, number, kind)
                cells = await store.cells(period, await store.names(period))
                found |= {(period, cell._replace(counts=tuple(cell.counts))) for cell in cells}
    return found


async def move(source: UsageStore, target: UsageStore, *, dry_run: bool = False) -> int:
    """Move at noon."""
    return await move_usage(source, target, FakeClock(), dry_run=dry_run)


def test_all_of_it_comes_along_once(run_both: Run) -> None:
    """A dry run says how much, a second run adds nothing, a third what has come since; back it goes alike."""

    async def scenario(source: UsageStore, target: UsageStore) -> None:
        await fill(source)
        there = await everything(source)
        planned = await move(source, target, dry_run=True)
        assert await everything(target) == set()
        # What only is kept because nothing has been counted since is not wanted any more.
        assert await move(source, target) == planned
        assert await everything(target) == there
        assert await move(source, target) == 0
        await source.add(batch(10_000, (PLACES[3], counts(4))))
        # Of a key, a user and all, a minute, an hour and a day.
        assert await move(source, target) == 9
        assert await everything(target) == await everything(source)
        await target.add(batch(1, (PLACES[5], counts(6))))
        assert await move(target, source) == 9
        assert await everything(target) == await everything(source)

    run_both(scenario)


def test_what_the_target_counts_itself_stays(run_both: Run) -> None:
    """Also of the same key at other times; what comes is added beside it."""
    own, both = Place("own", "u", "t", "r"), PLACES[0]

    async def scenario(source: UsageStore, target: UsageStore) -> None:
        await source.add(batch(1, (both, counts(3)), minute=NOON - 60))
        await target.add(batch(1, (own, counts(5)), (both, counts(1))))
        await move(source, target)
        minutes = {
            (cell.name, cell.at - NOON): cell.counts[0]
            for period, cell in await everything(target)
            if (period.step.name, period.kind) == ("1m", Kind.KEY)
        }
        assert minutes == {("own", 0): 5, (both.key_id, 0): 1, (both.key_id, -60): 3}

    run_both(scenario)


def test_an_interrupted_move_goes_on(run_both: Run) -> None:
    """Run again, it adds what is lacking and nothing else."""

    async def scenario(source: UsageStore, target: UsageStore) -> None:
        await fill(source)
        take_in, left = target.take_in, iter(range(4))

        async def some(period: Period, cells: list[Cell], now: int) -> int:
            if next(left, None) is None:
                raise StoreError("gone")
            return await take_in(period, cells, now)

        target.take_in = some  # type: ignore[method-assign,assignment]  # this store is this test's
        with pytest.raises(StoreError):
            await move(source, target)
        assert await everything(target) != set()
        target.take_in = take_in  # type: ignore[method-assign]  # as above
        await move(source, target)
        assert await everything(target) == await everything(source)

    run_both(scenario)
