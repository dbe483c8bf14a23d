"""What is seen of limits from beside the checks, wherever they are kept: as it is, and nothing is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from extauth.clock import SystemClock
from extauth.limits.plan import Charge, Plan, Planner, Subjects
from extauth.model import CALENDAR_MONTH, Limit, Per
from extauth.stores.limits import Taken
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.sqlite_archive import SqliteBucketArchive
from extauth.stores.sqlite_states import open_archived_limits
from extauth.stores.states import LimitStates, LocalLimits
from extauth.stores.write_behind import WriteBehind
from tests.limits import told_by, window
from tests.stores import SHARED_LIMITS

CLOCK = SystemClock()
YEAR = 365 * 24 * 3_600_000_000
LIMITS = (
    Limit("bucket", 5, 5, YEAR),
    window("fixed", 7, CALENDAR_MONTH),
    window("sliding", 9, YEAR, kind="sliding"),
    Limit("shadow", 1, 1, YEAR, shadow=True),
    Limit("all", 100, 100, YEAR, per=Per.ALL),
    Limit("cool-down", 2, 2, YEAR, "cool_down", pause_us=YEAR, longest_us=YEAR),
)
_PLANNER = Planner({}, parse_own=lambda _: ())


def plan_of_all() -> Plan:
    """Return what a request takes. A new one for each store, because stores note things at it."""
    return _PLANNER.plan(LIMITS, Charge(cost=2), Subjects(key_id="AAAAbbbb0001", user_id="u", tier="t"))


@dataclass
class Kept:
    """Limits, how they are taken there, and how they are seen."""

    states: LimitStates
    take: Callable[[Plan], Awaitable[Taken]]


Opening = Callable[[Path], AbstractAsyncContextManager[Kept]]


@asynccontextmanager
async def local(_folder: Path) -> AsyncIterator[Kept]:
    """Give those that this process counts."""
    limits = MemoryLimitStore()

    async def take(plan: Plan) -> Taken:
        return limits.acquire(plan, CLOCK.now_us())

    yield Kept(LocalLimits(limits, CLOCK), take)


@asynccontextmanager
async def archived(folder: Path) -> AsyncIterator[Kept]:
    """Give those that a server keeps in its archive."""
    path = folder / "limits.db"
    archive = SqliteBucketArchive(path)
    await archive.open(to_count=False)
    limits = MemoryLimitStore()
    behind = WriteBehind(limits, archive, CLOCK, on_failure=lambda _: None, on_success=lambda: None)
    states = await open_archived_limits(path, CLOCK, to_change=True)

    async def take(plan: Plan) -> Taken:
        taken = limits.acquire(plan, CLOCK.now_us())
        await behind.flush()
        return taken

    yield Kept(states, take)
    await states.close()
    await behind.close()


def _shared(row: str) -> Opening:
    @asynccontextmanager
    async def shared(_folder: Path) -> AsyncIterator[Kept]:
        async with SHARED_LIMITS[row]() as opened:
            yield Kept(opened.store, opened.take)

    return shared


ROWS: dict[str, Opening] = {
    "local": local,
    "archive": archived,
    **{row: _shared(row) for row in SHARED_LIMITS},
}


Run = Callable[[Callable[[Kept], Awaitable[None]]], None]


@pytest.fixture(
    params=[pytest.param(row, marks=[pytest.mark.servers] if row in SHARED_LIMITS else []) for row in ROWS]
)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Give what runs a scenario on limits of each kind."""

    def run_scenario(scenario: Callable[[Kept], Awaitable[None]]) -> None:
        async def opened() -> None:
            async with ROWS[request.param](tmp_path) as kept:
                await scenario(kept)

        asyncio.run(opened())

    return run_scenario


async def foretold(kept: Kept, plan: Plan) -> Taken:
    """Take from what is seen, instead of where it is kept."""
    seen = await kept.states.look(plan)
    assert abs(seen.now_us - CLOCK.now_us()) < 5_000_000
    scratch = MemoryLimitStore()
    scratch.restore(seen.states.items())
    return scratch.acquire(plan, seen.now_us)


def told(taken: Taken) -> tuple[object, ...]:
    """Return what doesn't change while a test runs."""
    usages = tuple((usage.limit.name, usage.allowed, usage.remaining) for usage in told_by(taken))
    return taken.allowed, usages, taken.shadowed


def test_what_is_seen_foretells_what_is_taken(run: Run) -> None:
    """Before anybody has used them, with room, without and cooling down; to look twice changes nothing."""

    async def scenario(kept: Kept) -> None:
        plan, outcomes = plan_of_all(), []
        for _ in range(5):
            before, again = await foretold(kept, plan_of_all()), await foretold(kept, plan_of_all())
            taken = await kept.take(plan)
            assert told(before) == told(again) == told(taken)
            for mine, theirs in zip(told_by(before), told_by(taken), strict=True):
                assert abs(mine.retry_us - theirs.retry_us) < 60_000_000
            outcomes.append((taken.allowed, taken.shadowed, len(told_by(taken))))
        passes, refused, cools = (True, ("shadow",), 4), (False, (), 4), (False, (), 5)
        assert outcomes == [passes, passes, refused, cools, cools]

    run(scenario)


def test_a_reset_forgets_what_was_spent(run: Run) -> None:
    """Of the limits of the plan, and of no others."""

    async def scenario(kept: Kept) -> None:
        plan = plan_of_all()
        for _ in range(4):
            await kept.take(plan)
        await kept.states.reset(Plan(take for take in plan.all_takes if take.limit.per is Per.KEY))
        assert list((await kept.states.look(plan)).states) == ["all:tier:t/all"]
        await kept.states.reset(Plan(()))
        assert list((await kept.states.look(plan)).states) == ["all:tier:t/all"]

    run(scenario)


def test_a_plan_without_limits_has_nothing_to_see(run: Run) -> None:
    """Nothing, and it is no mistake to ask."""

    async def scenario(kept: Kept) -> None:
        assert (await kept.states.look(Plan(()))).states == {}

    run(scenario)
