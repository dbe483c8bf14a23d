"""What the memory limit store remembers, forgets, and hands over to be saved."""

from __future__ import annotations

from extauth.limits.plan import Take
from extauth.model import Limit
from extauth.stores.memory import SWEPT_AT_ONCE, MemoryLimitStore

NOW = 1_772_366_400_000_000
SECOND = 1_000_000
LIMIT = Limit("x", 2, 1, SECOND)


def take(store: MemoryLimitStore, bucket: str, now_us: int = NOW) -> int:
    """Take one, and return what is left."""
    return store.acquire((Take(bucket, LIMIT),), 1, now_us)[0].remaining


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
    assert {bucket: state[0] // SECOND for bucket, state in states.items()} == {"a": 2, "b": 1}
    assert forgotten == set()
    assert store.take_unsaved() == ({}, set())


def test_what_was_forgotten_is_handed_over_too() -> None:
    """Otherwise the archive would grow for ever."""
    store = MemoryLimitStore()
    take(store, "a")
    store.take_unsaved()
    store.sweep(NOW + SECOND)
    assert store.take_unsaved() == ({}, {"a"})


def test_what_comes_back_is_handed_over_again() -> None:
    """A write that failed loses nothing, and never puts an old state over a newer one."""
    store = MemoryLimitStore()
    for bucket in ("a", "b"):
        take(store, bucket)
    unsaved = store.take_unsaved()
    take(store, "b")
    store.give_back(unsaved)
    states, _ = store.take_unsaved()
    assert {bucket: state[0] // SECOND for bucket, state in states.items()} == {"a": 1, "b": 2}


def test_what_comes_back_after_it_was_forgotten_stays_forgotten() -> None:
    """The sweep came between the failed write and its return."""
    store = MemoryLimitStore()
    take(store, "a")
    unsaved = store.take_unsaved()
    store.sweep(NOW + SECOND)
    store.give_back(unsaved)
    assert store.take_unsaved() == ({}, {"a"})


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
    assert (set(states), forgotten) == ({"a"}, set())


def test_restored_buckets_count_and_newer_ones_stay() -> None:
    """What the archive kept goes on; what was used since the start is not overwritten."""
    first = MemoryLimitStore()
    for bucket in ("a", "a", "b"):
        take(first, bucket)
    second = MemoryLimitStore()
    take(second, "b")
    take(second, "b")
    second.restore(first.take_unsaved().states.items())
    assert not second.acquire((Take("a", LIMIT),), 1, NOW)[0].allowed
    assert not second.acquire((Take("b", LIMIT),), 1, NOW)[0].allowed
