"""What the memory limit store remembers, forgets, and hands over to be saved."""

from __future__ import annotations

from extauth.model import Limit, Usage
from extauth.stores.memory import SWEPT_AT_ONCE, MemoryLimitStore
from tests.limits import plan_of, window

NOW = 1_772_366_400_000_000
SECOND = 1_000_000
LIMIT = Limit("x", 2, 1, SECOND)


def take(store: MemoryLimitStore, key: str, now_us: int = NOW) -> int:
    """Take one, and return what is left."""
    (usage,) = store.acquire(plan_of(LIMIT, key=key), now_us).usages
    return Usage(*usage).remaining


def bucket(key: str) -> str:
    """Return the name of a key's bucket."""
    return plan_of(LIMIT, key=key).takes[0].bucket


def test_buckets_that_are_full_again_are_forgotten() -> None:
    """Sooner or later, all of them, and none that isn't: memory follows those who are active."""
    store = MemoryLimitStore()
    for number in range(3 * SWEPT_AT_ONCE):
        take(store, f"idle {number}")
    take(store, "busy", NOW + SECOND)
    for _ in range(4):
        store.sweep(NOW + SECOND)
    assert len(store) == 1
    assert take(store, "busy", NOW + SECOND) == 0
    assert take(store, "idle 0", NOW + SECOND) == 1


def test_one_sweep_is_short() -> None:
    """However many buckets there are, a sweep holds up no check for long."""
    store = MemoryLimitStore()
    for number in range(2 * SWEPT_AT_ONCE):
        take(store, str(number))
    store.sweep(NOW + SECOND)
    assert len(store) == SWEPT_AT_ONCE


def test_what_changed_is_handed_over_once() -> None:
    """Buckets with their last state; being refused changes nothing."""
    store = MemoryLimitStore()
    take(store, "a")
    take(store, "a")
    assert take(store, "a") == 0
    take(store, "b")
    states, forgotten = store.take_unsaved()
    assert {name: state[0] // SECOND for name, state in states.items()} == {bucket("a"): 2, bucket("b"): 1}
    assert forgotten == set()
    assert store.take_unsaved() == ({}, set())


def test_what_was_forgotten_is_handed_over_too() -> None:
    """Otherwise the archive would grow for ever."""
    store = MemoryLimitStore()
    take(store, "a")
    store.take_unsaved()
    store.sweep(NOW + SECOND)
    assert store.take_unsaved() == ({}, {bucket("a")})


def test_what_comes_back_is_handed_over_again() -> None:
    """A write that failed loses nothing, and never puts an old state over a newer one."""
    store = MemoryLimitStore()
    for key in ("a", "b"):
        take(store, key)
    unsaved = store.take_unsaved()
    take(store, "b")
    store.give_back(unsaved)
    states, _ = store.take_unsaved()
    assert {name: state[0] // SECOND for name, state in states.items()} == {bucket("a"): 1, bucket("b"): 2}


def test_what_comes_back_after_it_was_forgotten_stays_forgotten() -> None:
    """The sweep came between the failed write and its return."""
    store = MemoryLimitStore()
    take(store, "a")
    unsaved = store.take_unsaved()
    store.sweep(NOW + SECOND)
    store.give_back(unsaved)
    assert store.take_unsaved() == ({}, {bucket("a")})


def test_a_bucket_that_is_used_again_is_not_deleted() -> None:
    """It was forgotten, the deletion failed, then it was used again: what is handed over is its state."""
    store = MemoryLimitStore()
    take(store, "a")
    store.take_unsaved()
    store.sweep(NOW + SECOND)
    unsaved = store.take_unsaved()
    take(store, "a", NOW + SECOND)
    store.give_back(unsaved)
    states, forgotten = store.take_unsaved()
    assert (set(states), forgotten) == ({bucket("a")}, set())


def test_restored_buckets_count_and_newer_ones_stay() -> None:
    """What the archive kept goes on; what was used since the start is not overwritten."""
    first = MemoryLimitStore()
    for key in ("a", "a", "b"):
        take(first, key)
    second = MemoryLimitStore()
    take(second, "b")
    take(second, "b")
    second.restore(first.take_unsaved().states.items())
    assert not second.acquire(plan_of(LIMIT, key="a"), NOW).allowed
    assert not second.acquire(plan_of(LIMIT, key="b"), NOW).allowed


def test_what_a_jump_of_the_clock_moves_is_handed_over() -> None:
    """A refusal changes nothing, but then the state starts from the new time, after a restart too."""
    store = MemoryLimitStore()
    for _ in range(2):
        take(store, "a")
    store.take_unsaved()
    take(store, "a", NOW - 3_600 * SECOND)
    assert store.take_unsaved().states[bucket("a")][3] == NOW - 3_598 * SECOND
    take(store, "a", NOW - 3_600 * SECOND + 1)
    assert store.take_unsaved() == ({}, set())


SHADOW = window("shadow", 3, 60 * SECOND, shadow=True)


def test_looking_shows_all_limits_and_takes_none() -> None:
    """Those in shadow last, as of the time that is asked about."""
    store = MemoryLimitStore()
    plan = plan_of(SHADOW, LIMIT)
    store.acquire(plan, NOW)
    store.take_unsaved()
    for _ in range(3):
        usages = store.look(plan, NOW).usages(plan)
        assert [(usage.limit, usage.remaining) for usage in usages] == [(LIMIT, 1), (SHADOW, 2)]
        assert all(usage.allowed for usage in usages)
    assert [usage.remaining for usage in store.look(plan, NOW + 60 * SECOND).usages(plan)] == [2, 3]
    assert store.take_unsaved() == ({}, set())


def test_looking_at_what_nobody_used_keeps_nothing() -> None:
    """An operator who looks at a key makes no bucket."""
    store = MemoryLimitStore()
    assert [usage.remaining for usage in store.look(plan_of(LIMIT), NOW).usages(plan_of(LIMIT))] == [2]
    assert len(store) == 0


def test_a_reset_forgets_what_was_spent_of_this_plan() -> None:
    """Also in shadow and in the archive; what others spent stays."""
    store = MemoryLimitStore()
    plan = plan_of(LIMIT, SHADOW, key="a")
    for _ in range(2):
        store.acquire(plan, NOW)
    take(store, "b")
    store.take_unsaved()
    store.reset(plan)
    assert [usage.remaining for usage in store.look(plan, NOW).usages(plan)] == [2, 3]
    assert take(store, "b") == 0
    states, forgotten = store.take_unsaved()
    assert set(states) == {bucket("b")}
    assert forgotten == {take.bucket for take in plan.all_takes}


def test_a_reset_of_what_was_not_written_yet_is_not_undone() -> None:
    """Neither by the next write, nor by one that failed before."""
    store = MemoryLimitStore()
    take(store, "a")
    unsaved = store.take_unsaved()
    take(store, "a")
    store.reset(plan_of(LIMIT, key="a"))
    store.give_back(unsaved)
    assert store.take_unsaved() == ({}, {bucket("a")})
