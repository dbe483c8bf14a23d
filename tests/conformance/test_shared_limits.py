"""What every limit store keeps to that servers share; each test runs on every row, on a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from extauth.clock import SystemClock
from extauth.limits.plan import Charge, Plan, Planner, Subjects
from extauth.model import CALENDAR_MONTH, Limit, Per, Usage
from extauth.stores.limits import Taken, Told
from extauth.stores.memory import MemoryLimitStore
from extauth.stores.redis import layout
from extauth.stores.redis.limits import store as single
from extauth.stores.redis.limits.asking import time_of
from extauth.stores.redis.limits.store import MOST_AT_ONCE
from tests.limits import told_by, window
from tests.redis.limits import Shared
from tests.stores import SHARED_LIMITS, with_shared_limits
from tests.waiting import eventually

pytestmark = pytest.mark.servers

Scenario = Callable[[Shared], Awaitable[None]]
Run = Callable[[Scenario], None]
MINUTE = 60_000_000
FIVE = Limit("five", 5, 1, MINUTE)
TWO = Limit("two", 2, 1, MINUTE)
SHADOW = Limit("shadow", 1, 1, MINUTE, shadow=True)
OF_USER = Limit("of-user", 3, 1, MINUTE, per=Per.USER)
OF_ALL = Limit("of-all", 4, 1, MINUTE, per=Per.ALL)
KEY_ID = "AAAAbbbb0001"
# How many milliseconds longer a string lasts than the last of its states, or 0 where it ended meanwhile.
LASTS_LONGER = """
local value, last_us = redis.call('GET', KEYS[1]), 0
if not value then return 0 end
local count, at = struct.unpack('>I2', value)
for _ = 1, count do at = at + 1 + string.byte(value, at) end
while at <= #value do
  local _, _, _, clear_at_us, after = struct.unpack('>I8I8I8I8', value, at)
  last_us, at = math.max(last_us, clear_at_us), after
end
return redis.call('PEXPIRETIME', KEYS[1]) - math.ceil(last_us / 1000)
"""
_PLANNER = Planner({}, parse_own=lambda _: ())


def plan_of(*limits: Limit, cost: int = 1, key: str = KEY_ID, user: str = "u", route: str = "r") -> Plan:
    """Return what a request takes under these limits."""
    who = Subjects(key_id=key, user_id=user, tier="t", address="192.0.2.7")
    return _PLANNER.plan(limits, Charge(route=route, cost=cost), who)


@pytest.fixture(params=list(SHARED_LIMITS))
def row(request: pytest.FixtureRequest) -> str:
    """Name the store."""
    return str(request.param)


@pytest.fixture
def run(row: str) -> Run:
    """Give what runs a scenario on an empty store, and holds afterwards that all that is left will end."""
    return partial(with_shared_limits, row)


def remaining(usages: Sequence[Usage]) -> list[int]:
    """Return how much is left of each limit."""
    return [usage.remaining for usage in usages]


async def left(shared: Shared, *limits: Limit, **who: str) -> list[int]:
    """Look how much is left of each limit."""
    plan = plan_of(*limits, **who)  # type: ignore[arg-type]  # texts all
    return remaining((await shared.store.look(plan)).usages(plan))


async def settled(shared: Shared, expected: list[int], *limits: Limit) -> None:
    """Hold that so much is left of each limit, once what a refusal took in other slots is given back."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5
    while (found := await left(shared, *limits)) != expected:
        assert loop.time() < deadline, found


def random_limits(chance: random.Random, *, of_key_only: bool) -> list[Limit]:
    """Return limits of which most are refilled while a test runs."""
    parties = [Per.KEY] if of_key_only else list(Per)
    made = [
        Limit("a", 5, 1, 900),
        Limit("b", 7, 3, 10_000),
        Limit("c", 40, 7, MINUTE),
        window("d", 6, 7_000, kind="sliding"),
        window("e", 30, MINUTE, kind="sliding"),
        window("f", 4, 5_000),
        window("g", 60, CALENDAR_MONTH),
    ]
    return [
        limit._replace(per=chance.choice(parties), shadow=chance.random() < 0.2)
        for limit in made
    ]  # fmt: skip


@pytest.mark.parametrize(("seed", "at_once"), [*((seed, 1) for seed in range(8)), (8, 2), (9, 10), (10, 100)])
def test_each_step_is_what_the_memory_store_does_at_that_time(
    run: Run, row: str, seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever limits, costs, subjects and orders of names follow each other, and when limits are changed.

    Also where many stand in one batch; and what is stored ends when the last of it is clear.
    """
    chance = random.Random(seed)
    times: list[int] = []

    def noted(reply: bytes) -> int:
        times.append(time_of(reply))
        return times[-1]

    monkeypatch.setattr(single, "time_of", noted)
    # All of a batch have one time.
    monkeypatch.setattr(single, "BUSY_WITH", at_once + 1)
    # In a cluster each slot of a check has a time of its own.
    in_cluster = row == "redis-cluster"
    limits = random_limits(chance, of_key_only=in_cluster)
    keys = ("k",) if in_cluster and at_once > 1 else ("k", "l")

    def some_plan() -> Plan:
        chosen = chance.sample(limits, chance.randint(1, 4))
        if chance.random() < 0.1:
            chosen = [limit._replace(capacity=limit.capacity * 2) for limit in chosen]
        return plan_of(*chosen, cost=chance.choice((0, 1, 1, 1, 2, 3, 50)), key=chance.choice(keys))

    async def scenario(shared: Shared) -> None:
        model = MemoryLimitStore()
        plans = [some_plan() for _ in range(20)]
        passed = 0
        for _ in range(300 // at_once):
            asked = chance.choices(plans, k=at_once)
            found = await asyncio.gather(*map(shared.ask, asked))
            expected = [model.acquire(plan, times[-1]) for plan in asked]
            # When it was asked only a shared store says.
            assert [taken._replace(asked_us=0) for taken in found if isinstance(taken, Taken)] == expected
            passed += sum(taken.allowed for taken in expected)
            if chance.random() < at_once / 20:
                for name in shared.names():
                    assert shared.at(name).ask("EVAL", LASTS_LONGER, 1, name) == 0
        assert 30 < passed < 270

    run(scenario)


@pytest.mark.parametrize("spent", range(3))
def test_all_are_taken_or_none(run: Run, spent: int) -> None:
    """Whosever limits they are, in one slot or several, and whichever of them has no room left."""
    limits = (FIVE, OF_USER, OF_ALL)

    async def scenario(shared: Shared) -> None:
        await shared.take(plan_of(limits[spent], cost=limits[spent].capacity))
        expected = [0 if at == spent else limit.capacity for at, limit in enumerate(limits)]
        for _ in range(3):
            refused = await shared.take(plan_of(*limits))
            assert not refused.allowed
            assert [usage.limit for usage in told_by(refused)] == list(limits)
            assert [usage.allowed for usage in told_by(refused)] == [at != spent for at in range(3)]
            assert remaining(told_by(refused)) == expected
            await settled(shared, expected, *limits)

    run(scenario)


def test_what_is_taken_is_told_in_the_order_of_the_plan(run: Run) -> None:
    """One usage for each limit, and each stands as it stands after the request."""

    async def scenario(shared: Shared) -> None:
        taken = await shared.take(plan_of(OF_ALL, FIVE, OF_USER, TWO))
        assert [usage.limit for usage in told_by(taken)] == [OF_ALL, FIVE, OF_USER, TWO]
        assert remaining(told_by(taken)) == [3, 4, 2, 1]
        assert await left(shared, TWO, OF_ALL, FIVE, OF_USER) == [1, 3, 4, 2]

    run(scenario)


def test_a_limit_in_shadow_never_refuses_and_is_named(run: Run) -> None:
    """It is counted beside the others while the request is allowed, and not at all when it is refused."""

    async def scenario(shared: Shared) -> None:
        plan = plan_of(TWO, SHADOW, OF_USER)
        found = [await shared.take(plan) for _ in range(3)]
        assert [(taken.allowed, taken.shadowed) for taken in found] == [
            (True, ()), (True, ("shadow",)), (False, ()),
        ]  # fmt: skip
        assert all(len(told_by(taken)) == 2 for taken in found)
        assert await left(shared, SHADOW) == [0]

    run(scenario)


def test_costs(run: Run) -> None:
    """A dear request takes several at once or none, one that costs nothing looks, and is always allowed."""

    async def scenario(shared: Shared) -> None:
        assert remaining(told_by(await shared.take(plan_of(FIVE, OF_ALL, cost=3)))) == [2, 1]
        refused = await shared.take(plan_of(FIVE, OF_ALL, cost=2))
        assert [usage.allowed for usage in told_by(refused)] == [True, False]
        await settled(shared, [2, 1], FIVE, OF_ALL)
        free = await shared.take(plan_of(FIVE, OF_ALL, cost=0))
        assert (free.allowed, remaining(told_by(free))) == (True, [2, 1])
        assert await left(shared, FIVE, OF_ALL) == [2, 1]

    run(scenario)


def test_no_limits_is_no_usage(run: Run) -> None:
    """Whoever is unlimited is asked about for the version of the key only."""

    async def scenario(shared: Shared) -> None:
        shared.put_record(KEY_ID, 3)
        now_us = SystemClock().now_us
        before_us, told, after_us = now_us(), await shared.take(plan_of(), KEY_ID, 3), now_us()
        assert told == Taken(allowed=True, usages=(), asked_us=told.asked_us)
        # From when on the key is known to be good: not later than the store was asked.
        assert before_us <= told.asked_us <= after_us
        assert (await shared.store.look(plan_of())).states == {}
        assert shared.names() == [layout.record(KEY_ID)]

    run(scenario)


def test_looking_takes_nothing(run: Run) -> None:
    """However often, and of limits that nobody has used it leaves no trace."""

    async def scenario(shared: Shared) -> None:
        for _ in range(10):
            assert await left(shared, FIVE, SHADOW, OF_ALL) == [5, 4, 1]
        assert shared.names() == []

    run(scenario)


def test_a_reset_forgets_what_was_spent_of_these_limits_and_no_others(run: Run) -> None:
    """Those of the same key that are not in the plan stay as they are."""

    async def scenario(shared: Shared) -> None:
        for _ in range(2):
            await shared.take(plan_of(FIVE, TWO, OF_USER))
        plan = plan_of(FIVE, OF_USER)
        await shared.store.reset(plan)
        assert await left(shared, FIVE, TWO, OF_USER) == [5, 0, 3]
        await shared.store.reset(plan_of(TWO))
        assert await left(shared, FIVE, TWO, OF_USER) == [5, 2, 3]
        assert shared.names() == []

    run(scenario)


def test_a_refusal_that_is_held_on_to_ends_with_a_reset(run: Run) -> None:
    """Whoever resets a limit sees it at once."""

    async def scenario(shared: Shared) -> None:
        plan = plan_of(TWO)
        for _ in range(3):
            await shared.take(plan)
        assert plan.refused_again(SystemClock().now_us())
        await shared.store.reset(plan)
        assert not plan.refused_again(SystemClock().now_us())
        assert (await shared.take(plan)).allowed

    run(scenario)


@pytest.mark.parametrize("stored", [None, 1, 3, 2**52])
def test_another_version_of_the_key_takes_nothing_and_says_so(run: Run, stored: int | None) -> None:
    """Older, newer, or no record at all: whatever its limits are."""

    async def scenario(shared: Shared) -> None:
        if stored is not None:
            shared.put_record(KEY_ID, stored)
        for limits in ((), (FIVE,), (FIVE, OF_USER, OF_ALL)):
            assert await shared.ask(plan_of(*limits), KEY_ID, 2) is None
        assert await left(shared, FIVE, OF_USER, OF_ALL) == [5, 3, 4]
        shared.put_record(KEY_ID, 2)
        assert (await shared.take(plan_of(FIVE, OF_USER, OF_ALL), KEY_ID, 2)).allowed

    run(scenario)


@pytest.mark.parametrize("number", [20, 3 * MOST_AT_ONCE + 1])
@pytest.mark.parametrize("parties", [(Per.KEY,), (Per.KEY, Per.USER, Per.ALL)], ids=["one", "several"])
def test_of_many_in_one_turn_as_many_pass_as_fit(run: Run, number: int, parties: tuple[Per, ...]) -> None:
    """Each is counted, in one batch or in several: exactly the capacity passes, each told another rest."""
    limits = [Limit(per.value, 13, 1, 60 * MINUTE, per=per) for per in parties]

    async def scenario(shared: Shared) -> None:
        shared.put_record(KEY_ID, 7)
        asked = [shared.ask(plan_of(*limits), KEY_ID, 7) for _ in range(number)]
        found: list[Told] = await asyncio.gather(*asked)
        taken = [one for one in found if isinstance(one, Taken)]
        assert len(taken) == number
        rests = sorted(told_by(one)[0].remaining for one in taken if one.allowed)
        assert rests == list(range(13))
        assert await left(shared, *limits) == [0] * len(limits)

    run(scenario)


def test_checks_of_one_turn_get_their_own_answers(run: Run) -> None:
    """Those of other keys, other versions and other limits stand in the same batch."""

    async def scenario(shared: Shared) -> None:
        for number in range(100):
            shared.put_record(f"k{number}", 1 + number % 2)
        asked = [
            shared.ask(plan_of(*(FIVE, TWO)[: 1 + number % 3 % 2], key=f"k{number}"), f"k{number}", 1)
            for number in range(100)
        ]
        for number, told in enumerate(await asyncio.gather(*asked)):
            if number % 2:
                assert told is None
            else:
                assert isinstance(told, Taken)
                assert remaining(told_by(told)) == [4, 1][: 1 + number % 3 % 2]

    run(scenario)


def test_what_is_not_asked_about_is_kept(run: Run) -> None:
    """Limits of routes come and go, in whatever order: none of them forgets what was spent of it."""
    others = [Limit(f"route-{number}", 9, 1, MINUTE) for number in range(6)]

    async def scenario(shared: Shared) -> None:
        expected = dict.fromkeys([*others, FIVE], 0)
        chance = random.Random(7)
        for _ in range(20):
            chosen = chance.sample(others, 2)
            plan = plan_of(*chance.sample([*chosen, FIVE], 3))
            if all(expected[limit] < limit.capacity for limit in (*chosen, FIVE)):
                for limit in (*chosen, FIVE):
                    expected[limit] += 1
            await shared.take(plan)
        found = await left(shared, *expected)
        assert found == [limit.capacity - spent for limit, spent in expected.items()]

    run(scenario)


def test_strings_end_when_all_is_clear(run: Run) -> None:
    """Nothing of a client that came once stays in Redis."""
    brief = Limit("brief", 5, 1, 500_000)

    async def scenario(shared: Shared) -> None:
        await shared.take(plan_of(brief, brief._replace(name="other", per=Per.ALL)))
        assert len(shared.names()) == 2
        await eventually(lambda: shared.names() == [])

    run(scenario)


def test_a_limit_that_is_clear_leaves_the_string_of_those_that_are_not(run: Run) -> None:
    """A key that tries all routes doesn't keep a state for each of them for ever."""
    brief = [Limit(f"brief-{number}", 5, 1, 1_000) for number in range(20)]

    async def scenario(shared: Shared) -> None:
        await shared.take(plan_of(FIVE, *brief))
        name = layout.limits_of(f"key:{KEY_ID}")
        grown = shared.command("STRLEN", name)
        await eventually(lambda: shared.command("PTTL", name) < MINUTE // 1000 - 5)
        await shared.take(plan_of(FIVE))
        assert shared.command("STRLEN", name) < grown / 10

    run(scenario)


ODD = ("{a}b", "}{", "%7B", "a b\r\n", "é中\U0001f600", "a" * 300, "\x00", "*", "")


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_are_apart_from_all_others(run: Run, odd: str) -> None:
    """Users, routes, keys and limits are called what they are called; none spends another's limits."""
    limits = (
        FIVE._replace(name=f"x{odd}"),
        OF_USER,
        Limit("of-route", 6, 1, MINUTE, per=Per.ROUTE),
    )

    async def scenario(shared: Shared) -> None:
        who = {"key": f"k{odd}", "user": f"u{odd}", "route": f"r{odd}"}
        shared.put_record(who["key"], 1)
        plan = plan_of(*limits, **who)  # type: ignore[arg-type]  # texts all
        assert remaining(told_by(await shared.take(plan, who["key"], 1))) == [4, 2, 5]
        assert await left(shared, *limits, **who) == [4, 2, 5]
        for party, name in who.items():
            other = {**who, party: f"{name}!"}
            assert sum(await left(shared, *limits, **other)) > 4 + 2 + 5

    run(scenario)


def test_a_key_may_use_hundreds_of_limits(run: Run) -> None:
    """Each route has limits of its own, and none is forgotten for the others."""
    many = [Limit(f"route-{number}", 9, 1, MINUTE) for number in range(300)]

    async def scenario(shared: Shared) -> None:
        for start in range(0, 300, 10):
            await shared.take(plan_of(*many[start : start + 10]))
        assert await left(shared, *many[:20], *many[-20:]) == [8] * 40
        assert (await shared.take(plan_of(many[0], many[299]))).allowed

    run(scenario)


def test_a_key_with_three_limits_takes_at_most_500_bytes(run: Run) -> None:
    """One string for all that it spends, and nothing else."""
    names = ("per-second", "per-minute", "route-per-hour")
    limits = [Limit(name, 10_000, 1, MINUTE) for name in names]

    async def scenario(shared: Shared) -> None:
        for key in ("AAAAbbbb0001", "AAAAbbbb0002"):
            await shared.take(
                plan_of(*limits[:2], window("quota", 10**9, CALENDAR_MONTH), limits[2], key=key)
            )
        found = shared.names()
        assert found == [layout.limits_of(f"key:{key}") for key in ("AAAAbbbb0001", "AAAAbbbb0002")]
        assert shared.at(found[0]).ask("MEMORY", "USAGE", found[0]) <= 500

    run(scenario)


@pytest.mark.parametrize("kind", ["token_bucket", "sliding_window", "fixed_window"])
def test_a_wait_that_was_told_is_long_enough_although_the_limit_was_changed(run: Run, kind: str) -> None:
    """What was spent under the old limit is carried over once, when it refuses first, not each time."""

    async def scenario(shared: Shared) -> None:
        await shared.take(plan_of(Limit("x", 100, 100, 3_600 * 1_000_000, kind), cost=100))
        changed = plan_of(Limit("x", 1, 1, 40_000, kind))
        (usage,) = told_by(await shared.take(changed))
        if usage.allowed:
            assert kind == "fixed_window"
            return
        await shared.passes_after(changed, usage.retry_us)

    run(scenario)
