"""What holds for every limit algorithm, whatever it counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extauth.limits.algorithm import BucketState
from extauth.limits.registry import ALGORITHMS
from extauth.model import Limit
from tests.property.limit_strategies import (
    COSTS,
    JUMPS_US,
    LIMITS,
    PASSED_US,
    START_US,
    Cost,
    longest_us,
    requests_of,
    take,
)

SPENDING = st.lists(st.tuples(COSTS, PASSED_US), max_size=10)


def spent(limit: Limit, spending: list[tuple[Cost, int]]) -> tuple[BucketState | None, int]:
    """Return the state after some spending, and when that was."""
    state, now_us = None, START_US
    for cost, passed_us in spending:
        now_us += passed_us
        state, _ = take(state, limit, requests_of(cost, limit), now_us)
    return state, now_us


@given(LIMITS, st.lists(st.tuples(COSTS | st.integers(0, 10**12), JUMPS_US, LIMITS | st.none()), max_size=20))
def test_what_is_told_makes_sense(limit: Limit, requests: list[tuple[Cost, int, Limit | None]]) -> None:
    """Whatever the clock, the costs and the settings do, nothing is negative or more than there is."""
    state, now_us = None, START_US
    for cost, moved_us, other in requests:
        now_us += moved_us
        if other is not None and other.algorithm == limit.algorithm:
            limit = other
        wanted = cost if isinstance(cost, int) else requests_of(cost, limit)
        state, usage = take(state, limit, wanted, now_us)
        assert 0 <= usage.remaining <= limit.capacity
        assert usage.reset_us >= 0
        assert (usage.retry_us == 0) is usage.allowed
        assert usage.allowed or wanted > 0
        assert all(0 <= number < 2**53 for number in state)


@given(LIMITS, SPENDING, COSTS, JUMPS_US)
def test_the_time_to_wait_is_true(
    limit: Limit, spending: list[tuple[Cost, int]], cost: Cost, moved_us: int
) -> None:
    """A refused request passes exactly when it was told to come again, and not one microsecond earlier."""
    state, now_us = spent(limit, [*spending, (limit.capacity, 0)])
    wanted, now_us = requests_of(cost, limit), now_us + moved_us
    refused, usage = take(state, limit, wanted, now_us)
    if usage.allowed:
        return
    assert usage.retry_us > 0
    assert take(refused, limit, wanted, now_us + usage.retry_us)[1].allowed
    assert not take(refused, limit, wanted, now_us + usage.retry_us - 1)[1].allowed


@given(LIMITS, SPENDING, COSTS, JUMPS_US, LIMITS)
def test_the_state_of_a_refusal_matters_only_where_its_end_moves(
    limit: Limit, spending: list[tuple[Cost, int]], cost: Cost, moved_us: int, other: Limit
) -> None:
    """Stores rely on it: they keep that state only then, and what was told must hold without."""
    state, now_us = spent(limit, [*spending, (limit.capacity, 0)])
    if other.algorithm == limit.algorithm and other.capacity % 2:
        limit = other
    wanted, now_us = requests_of(cost, limit), now_us + moved_us
    refused, usage = take(state, limit, wanted, now_us)
    assert state is not None
    if usage.allowed or refused[3] != state[3]:
        return
    assert take(state, limit, wanted, now_us + usage.retry_us)[1].allowed
    assert take(state, limit, 0, now_us + 1)[1] == take(refused, limit, 0, now_us + 1)[1]


@given(LIMITS, SPENDING)
def test_the_time_until_nothing_is_spent_is_true(limit: Limit, spending: list[tuple[Cost, int]]) -> None:
    """At the reset all of the capacity is there, one microsecond before it is not; the state tells when."""
    state, now_us = spent(limit, spending)
    state, usage = take(state, limit, 0, now_us)
    assert take(state, limit, limit.capacity, now_us + usage.reset_us)[1].allowed
    if usage.reset_us:
        assert state[3] == now_us + usage.reset_us
        assert not take(state, limit, limit.capacity, now_us + usage.reset_us - 1)[1].allowed


@given(LIMITS, SPENDING, COSTS, JUMPS_US)
def test_looking_and_being_refused_take_nothing(
    limit: Limit, spending: list[tuple[Cost, int]], cost: Cost, moved_us: int
) -> None:
    """A cost of 0 and a refusal leave the limit as it would be without them."""
    state, now_us = spent(limit, spending)
    now_us += moved_us
    looked, look = take(state, limit, 0, now_us)
    assert look.allowed
    after, usage = take(state, limit, requests_of(cost, limit), now_us)
    if not usage.allowed:
        assert (usage.remaining, usage.reset_us) == (look.remaining, look.reset_us)
        assert take(after, limit, 0, now_us)[1] == look
    assert take(looked, limit, 0, now_us)[1] == look


@given(LIMITS, SPENDING, COSTS, JUMPS_US)
def test_giving_back_undoes_a_take(
    limit: Limit, spending: list[tuple[Cost, int]], cost: Cost, moved_us: int
) -> None:
    """The limit is as if the request had never come."""
    state, now_us = spent(limit, spending)
    wanted, now_us = requests_of(cost, limit), now_us + moved_us
    taken, usage = take(state, limit, wanted, now_us)
    if not usage.allowed:
        return
    algorithm = ALGORITHMS[limit.algorithm]
    returned = algorithm.give_back(taken, algorithm.prepare(limit, wanted), now_us)
    assert take(returned, limit, 0, now_us) == take(state, limit, 0, now_us)


@given(LIMITS, SPENDING, COSTS, PASSED_US)
def test_giving_back_never_gives_more_than_was_spent(
    limit: Limit, spending: list[tuple[Cost, int]], cost: Cost, passed_us: int
) -> None:
    """However late and however much, there is never more than the capacity, nor less than before."""
    state, now_us = spent(limit, spending)
    now_us += passed_us
    algorithm = ALGORITHMS[limit.algorithm]
    returned = algorithm.give_back(state, algorithm.prepare(limit, requests_of(cost, limit)), now_us)
    usage = take(returned, limit, 0, now_us)[1]
    assert take(state, limit, 0, now_us)[1].remaining <= usage.remaining <= limit.capacity
    assert not take(returned, limit, limit.capacity + 1, now_us)[1].allowed


@given(LIMITS, SPENDING, st.integers(-(10**15), 10**15))
def test_a_jump_of_the_clock_locks_nobody_out(
    limit: Limit, spending: list[tuple[Cost, int]], jump_us: int
) -> None:
    """Wherever the clock jumps, from there on all is there again after the time it takes at most."""
    state, now_us = spent(limit, spending)
    now_us += jump_us
    state, _ = take(state, limit, 1, now_us)
    # A clock that is back in the window before has to get to the end of that first.
    latest_us = now_us + longest_us(limit) * (1 if limit.algorithm == "token_bucket" else 2)
    assert take(state, limit, limit.capacity, latest_us)[1].allowed
