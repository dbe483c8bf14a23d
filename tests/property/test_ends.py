"""What is over is found at its time, whatever was put, moved and dropped before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extauth.throttle.ends import Ends

NAMES = "abcd"
_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "over"]), st.sampled_from(NAMES), st.integers(0, 9))
)


@given(_STEPS)
def test_the_same_as_a_dictionary(steps: list[tuple[str, str, int]]) -> None:
    """Each name is over once, at the time it has by then, also where times come in any order."""
    ends, known = Ends(), dict[str, int]()
    for what, name, at_us in steps:
        if what == "put":
            ends.put(name, at_us)
            known[name] = at_us
        elif what == "drop":
            assert ends.drop(name) == (known.pop(name, None) is not None)
        else:
            over = {name for name, until_us in known.items() if until_us <= at_us}
            assert set(ends.over(at_us)) == over
            known = {name: until_us for name, until_us in known.items() if name not in over}
        assert ends.until == known


def test_what_was_dropped_takes_no_memory() -> None:
    """Names that come and go long before their time leave nothing behind."""
    ends = Ends()
    ends.put("stays", 10**9)
    for number in range(10_000):
        ends.put(f"n{number}", 10**9 + number % 7)
        ends.drop(f"n{number}")
    assert len(ends._row) + len(ends._others) < 100
    assert ends.over(10**9) == ["stays"]
