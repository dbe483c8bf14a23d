"""What every limit store that servers share does about clients that go on past refusals; on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from extauth.clock import SystemClock
from extauth.limits.plan import PLAIN_CHARGE, Plan, Planner, Subjects
from extauth.model import Limit, Per, Usage
from extauth.stores.limits import Taken
from extauth.stores.redis import layout
from tests.limits import told_by
from tests.redis.limits import Shared
from tests.stores import SHARED_LIMITS, with_shared_limits
from tests.waiting import eventually

pytestmark = pytest.mark.servers

Run = Callable[[Callable[[Shared], Awaitable[None]]], None]
MILLISECOND, MINUTE = 1_000, 60_000_000
KEY_ID = "AAAAbbbb0001"
ONE = Limit("one", 1, 1, 60 * MINUTE)
FIVE = Limit("five", 5, 1, 60 * MINUTE)
ONE_OF_USER = Limit("one-of-user", 1, 1, 60 * MINUTE, per=Per.USER)
ONE_OF_ALL = Limit("one-of-all", 1, 1, 60 * MINUTE, per=Per.ALL)
_PLANNER = Planner({}, parse_own=lambda _: ())


def cool_down(violations: int, pause_us: int, longest_us: int = 60 * MINUTE, *, per: Per = Per.KEY) -> Limit:
    """Return a cool-down whose violations are counted for a minute."""
    return Limit(
        "cool-down",
        violations,
        violations,
        MINUTE,
        "cool_down",
        per=per,
        pause_us=pause_us,
        longest_us=longest_us,
    )


def plan_of(*limits: Limit, key: str = KEY_ID) -> Plan:
    """Return what a request takes under these limits."""
    who = Subjects(key_id=key, user_id="u", tier="t", address="192.0.2.7")
    return _PLANNER.plan(limits, PLAIN_CHARGE, who)


@pytest.fixture(params=list(SHARED_LIMITS))
def run(request: pytest.FixtureRequest) -> Run:
    """Give what runs a scenario on an empty store."""
    return partial(with_shared_limits, str(request.param))


def names(usages: Sequence[Usage]) -> list[str]:
    """Return the names of the limits that refused."""
    return [usage.limit.name for usage in usages if not usage.allowed]


async def refusals(shared: Shared, plan: Plan, number: int) -> list[list[str]]:
    """Ask so many times, each of which is refused; return by which limits."""
    return [names(told_by(await shared.take(plan))) for _ in range(number)]


async def state_of(shared: Shared, plan: Plan) -> object:
    """Return what is stored of the cool-down."""
    assert plan.cool_down is not None
    return (await shared.store.look(plan)).states.get(plan.cool_down.bucket)


def test_the_refusal_that_is_one_too_many_begins_it(run: Run) -> None:
    """Counted in the step that refuses. While it lasts nothing counts, and its end doesn't move."""

    async def scenario(shared: Shared) -> None:
        plan = plan_of(ONE, FIVE, cool_down(3, MINUTE))
        assert (await shared.take(plan)).allowed
        assert await refusals(shared, plan, 3) == [["one"], ["one"], ["one", "cool-down"]]
        begun = await state_of(shared, plan)
        for _ in range(5):
            usages = told_by(await shared.take(plan))
            assert names(usages) == ["one", "cool-down"]
            assert MINUTE * 0.9 < usages[-1].retry_us <= MINUTE
            assert usages[1].remaining == 4
        assert await state_of(shared, plan) == begun
        # It refuses what has room too.
        assert names(told_by(await shared.take(plan_of(FIVE, cool_down(3, MINUTE))))) == ["cool-down"]

    run(scenario)


def test_whoever_waits_as_long_as_told_passes_and_the_next_is_twice_as_long(run: Run) -> None:
    """Up to the longest, which is also how long it is remembered that there was one."""

    async def scenario(shared: Shared) -> None:
        pause_us, longest_us = 30 * MILLISECOND, 60 * MINUTE
        brief = cool_down(1, pause_us, longest_us)
        await shared.take(plan_of(ONE, brief))
        for expected_us in (pause_us, 2 * pause_us, 4 * pause_us):
            (_, usage) = told_by(await shared.take(plan_of(ONE, brief)))
            assert usage.retry_us == expected_us
            await shared.passes_after(plan_of(FIVE, brief), usage.retry_us)
        # The fourth, of a limit whose first is longer: eight times that is more than the longest.
        (_, usage) = told_by(await shared.take(plan_of(ONE, cool_down(1, longest_us // 4, longest_us))))
        assert usage.retry_us == longest_us

    run(scenario)


@pytest.mark.parametrize("refusing", [ONE_OF_USER, ONE_OF_ALL], ids=lambda limit: limit.name)
def test_what_another_party_refuses_is_a_violation_of_its_own_cool_down(run: Run, refusing: Limit) -> None:
    """Wherever that is stored. What is given back for it takes no violation back."""

    async def scenario(shared: Shared) -> None:
        plan = plan_of(FIVE, refusing, cool_down(3, MINUTE))
        assert (await shared.take(plan)).allowed
        whole = [[refusing.name]] * 2 + [[refusing.name, "cool-down"]] * 3
        assert await refusals(shared, plan, 5) == whole
        usages = (await shared.store.look(plan)).usages(plan)
        assert [usage.remaining for usage in usages] == [4, 0, 0]
        # Another key has violated nothing.
        other = plan_of(FIVE, refusing, cool_down(3, MINUTE), key="AAAAbbbb0002")
        assert await refusals(shared, other, 1) == [[refusing.name]]

    run(scenario)


def test_of_checks_in_one_call_each_counts_for_itself(run: Run) -> None:
    """A refusal is no violation of a cool-down that only another check has."""

    async def scenario(shared: Shared) -> None:
        other = FIVE._replace(name="other")
        with_one, without = plan_of(FIVE, cool_down(1, MINUTE)), plan_of(ONE, other)
        await shared.take(plan_of(ONE))
        allowed, refused = await asyncio.gather(shared.ask(with_one), shared.ask(without))
        assert isinstance(allowed, Taken)
        assert isinstance(refused, Taken)
        assert (allowed.allowed, names(told_by(refused))) == (True, ["one"])
        assert await state_of(shared, with_one) is None
        assert (await shared.store.look(without)).usages(without)[1].remaining == 5
        assert (await shared.take(with_one)).allowed

    run(scenario)


def test_without_a_key_an_address_cools_down(run: Run) -> None:
    """Also where nothing else of the address is counted."""

    async def scenario(shared: Shared) -> None:
        limits = (ONE_OF_ALL, cool_down(2, MINUTE, per=Per.IP))
        plans = [
            _PLANNER.plan(limits, PLAIN_CHARGE, Subjects(address=address))
            for address in ("192.0.2.7", "192.0.2.8")
        ]
        assert (await shared.take(plans[0])).allowed
        assert await refusals(shared, plans[0], 2) == [["one-of-all"], ["one-of-all", "cool-down"]]
        assert await refusals(shared, plans[1], 1) == [["one-of-all"]]

    run(scenario)


def test_refusals_that_were_not_asked_for_are_told_before_what_comes_next(run: Run) -> None:
    """So that the next answer is the one that it would be if all of them had been asked for."""

    async def scenario(shared: Shared) -> None:
        for limits in ((ONE,), (FIVE, ONE_OF_USER, ONE_OF_ALL)):
            plan = plan_of(*limits, cool_down(10, MINUTE), key=f"k{len(limits)}")
            await shared.take(plan)
            await shared.take(plan)
            for _ in range(8):
                shared.store.violate(plan)
            assert "cool-down" in names(told_by(await shared.take(plan)))

    run(scenario)


def test_many_refusals_that_were_not_asked_for_are_one_call(run: Run) -> None:
    """Once it has begun, the plan refuses for it without asking, for as long as told."""

    async def scenario(shared: Shared) -> None:
        plan = plan_of(ONE, cool_down(1_000, 30 * MINUTE))
        await shared.take(plan)
        await shared.take(plan)
        assert plan.held is not None
        now_us = SystemClock().now_us()
        assert (again := plan.refused_again(now_us)) is not None
        assert again.violated == ("one",)
        for server in shared.servers:
            server.ask("CONFIG", "RESETSTAT")
        for _ in range(5_000):
            shared.store.violate(plan)
        await eventually(lambda: plan.held is not None and plan.held.cools)
        assert sum(_script_calls(server.ask("INFO", "commandstats")) for server in shared.servers) == 1
        now_us = SystemClock().now_us()
        again = plan.refused_again(now_us)
        assert again is not None
        assert again.violated == ("one", "cool-down")
        assert 29 * 60 < again.retry_after <= 60 * 60
        assert plan.refused_again(now_us + 50_000_000) is not None

    run(scenario)


def _script_calls(stats: bytes | str) -> int:
    text = stats.decode() if isinstance(stats, bytes) else stats
    lines = [line for line in text.splitlines() if line.startswith("cmdstat_evalsha:")]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


def test_a_reset_ends_it(run: Run) -> None:
    """And what was not told yet is forgotten with it."""

    async def scenario(shared: Shared) -> None:
        plan = plan_of(ONE, ONE_OF_USER, cool_down(2, MINUTE))
        await shared.take(plan)
        assert (await refusals(shared, plan, 2))[-1][-1] == "cool-down"
        shared.store.violate(plan)
        shared.store.violate(plan)
        await shared.store.reset(plan)
        assert await state_of(shared, plan) is None
        assert (await shared.take(plan)).allowed
        assert "cool-down" not in names(told_by(await shared.take(plan)))

    run(scenario)


def test_another_version_of_the_key_is_no_violation(run: Run) -> None:
    """Its record is another one: nobody was refused."""

    async def scenario(shared: Shared) -> None:
        shared.put_record(KEY_ID, 2)
        plan = plan_of(ONE, cool_down(1, MINUTE))
        for _ in range(3):
            assert await shared.ask(plan, KEY_ID, 1) is None
        assert shared.names() == [layout.record(KEY_ID)]

    run(scenario)


def test_what_is_stored_ends_with_it(run: Run) -> None:
    """A client that was refused once, and never comes again, leaves nothing in Redis."""

    async def scenario(shared: Shared) -> None:
        brief = cool_down(1, MILLISECOND, MILLISECOND)._replace(period_us=MILLISECOND)
        await shared.take(plan_of(ONE_OF_ALL, brief))
        await shared.take(plan_of(ONE_OF_ALL, brief))
        await eventually(lambda: layout.limits_of(f"key:{KEY_ID}") not in shared.names())

    run(scenario)
