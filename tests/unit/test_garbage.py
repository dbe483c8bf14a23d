"""The collector of garbage holds up no checks, and still finds what refers to itself."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from extauth.server import garbage
from extauth.server.garbage import LongLived


class Knot:
    """Refers to itself, so that only a collection finds it, and to so many other things."""

    def __init__(self, others: int = 0) -> None:
        self.knot = self
        self.others: list[list[int]] = [[] for _ in range(others)]


@pytest.fixture
def long_lived() -> Iterator[LongLived]:
    """One that has begun; afterwards the process collects as before."""
    threshold = gc.get_threshold()
    # So that what other tests left is not set aside unseen, as it stays there.
    gc.collect()
    long_lived = LongLived()
    long_lived.begin()
    yield long_lived
    gc.set_threshold(*threshold)


def _full_collections() -> int:
    return int(gc.get_stats()[2]["collections"])


def test_what_lives_long_starts_no_full_collection(long_lived: LongLived) -> None:
    """However much there is of it: it is set aside, and not looked at again."""
    before, frozen = _full_collections(), gc.get_freeze_count()
    lives = []
    for _ in range(20):
        lives += [[number] for number in range(10_000)]
        long_lived.see()
    assert _full_collections() == before
    assert gc.get_freeze_count() - frozen > 150_000


def test_nor_does_what_comes_between_two_looks(long_lived: LongLived) -> None:
    """Keys are loaded by the thousand, and a look comes once a second."""
    before = _full_collections()
    lives = [[number] for number in range(300_000)]
    assert (_full_collections(), len(lives)) == (before, 300_000)
    long_lived.see()


def test_what_is_garbage_by_then_is_not_set_aside(long_lived: LongLived) -> None:
    """It would stay there for long."""
    lives = [[number] for number in range(100_000)]
    gone = weakref.ref(Knot())
    frozen = gc.get_freeze_count()
    long_lived.see()
    assert gone() is None
    assert gc.get_freeze_count() - frozen >= len(lives)


def test_young_garbage_is_found_as_ever(long_lived: LongLived) -> None:
    """The small collections go on, and nothing of it is set aside."""
    gone = weakref.ref(Knot())
    long_lived.see()
    lives = [[number] for number in range(100_000)]
    assert (gone(), len(lives)) == (None, 100_000)


def test_garbage_that_was_set_aside_is_found_when_there_is_much_of_it(
    long_lived: LongLived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a leak would go on for ever."""
    monkeypatch.setattr(garbage, "_COUNTED_EVERY", 1)
    monkeypatch.setattr(garbage, "_TOO_MANY", 0)
    knot = Knot(2 * gc.get_freeze_count())
    gone = weakref.ref(knot)
    gc.freeze()
    del knot
    gc.collect()
    assert gone() is not None
    long_lived.see()
    assert (gone(), long_lived.full) == (None, 1)
