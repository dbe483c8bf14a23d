"""Bounded caches: never larger than they may be, and what is used stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extauth.bounded import BoundedCache, Memo

OPERATIONS = st.lists(st.tuples(st.sampled_from(["keep", "ask", "forget"]), st.integers(0, 12)), max_size=80)


def ask(cache: BoundedCache[int, str], key: int) -> str | None:
    """Ask as its users do."""
    return cache.get(key) or cache.revive(key)


@given(st.integers(1, 9), OPERATIONS)
def test_it_never_lies_and_never_grows(size: int, operations: list[tuple[str, int]]) -> None:
    """What it answers is the last that was kept; what was forgotten on purpose never comes back."""
    cache: BoundedCache[int, str] = BoundedCache(size)
    truth: dict[int, str] = {}
    for number, (operation, key) in enumerate(operations):
        if operation == "keep":
            truth[key] = f"{key} at {number}"
            cache.keep(key, truth[key])
            assert ask(cache, key) == truth[key]
        elif operation == "forget":
            truth.pop(key, None)
            cache.forget(key)
        else:
            assert ask(cache, key) in {None, truth.get(key)}
        assert cache.held <= 2 * size


def test_what_is_used_stays() -> None:
    """However many others pass through, an entry that is asked for between them is never lost."""
    cache: BoundedCache[int, str] = BoundedCache(10)
    cache.keep(-1, "in use")
    for number in range(1_000):
        cache.keep(number, "passing")
        if number % 3 == 0:
            assert ask(cache, -1) == "in use"


def test_as_many_as_its_size_are_found_in_turn() -> None:
    """Whoever uses so many things, one after the other and over again, misses none after the first time."""
    cache: BoundedCache[int, str] = BoundedCache(10)
    misses = 0
    for number in range(100):
        if ask(cache, number % 10) is None:
            misses += 1
            cache.keep(number % 10, "x")
    assert misses == 10


def test_all_can_be_forgotten() -> None:
    """Both generations."""
    cache: BoundedCache[int, str] = BoundedCache(4)
    for number in range(4):
        cache.keep(number, "x")
    cache.forget_all()
    assert cache.held == 0
    assert [ask(cache, number) for number in range(4)] == [None] * 4


def test_a_memo_makes_what_it_does_not_remember() -> None:
    """Once, as long as it is asked for; again after it was forgotten; and the answer is always the same."""
    made: list[int] = []

    def double(number: int) -> int:
        made.append(number)
        return 2 * number

    memo: Memo[int, int] = Memo(double, 4)
    assert [memo[7], memo[7], memo[8], memo[7]] == [14, 14, 16, 14]
    assert made == [7, 8]
    for number in range(100):
        assert memo[number] == 2 * number
    assert memo.held <= 8
    assert memo[7] == 14
    assert made.count(7) >= 2


def test_what_is_not_worth_keeping_is_made_each_time() -> None:
    """A client that sends long paths fills no memory with them."""
    made: list[str] = []

    def measure(text: str) -> int:
        made.append(text)
        return len(text)

    memo: Memo[str, int] = Memo(measure, 4, worth_keeping=lambda text: len(text) < 3)
    assert [memo["ab"], memo["abc"], memo["ab"], memo["abc"]] == [2, 3, 2, 3]
    assert made == ["ab", "abc", "abc"]
    assert memo.held == 1
