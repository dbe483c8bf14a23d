"""The tests' own strict readers of answers: what they let pass, the other tests believe."""

from __future__ import annotations

import pytest

from extauth.dialects.base import Answer
from tests.answers import parse_list, reply_of


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('"a";q=1;w=2', [("a", {"q": 1, "w": 2})]),
        ('"a";q=1, "b";r=0', [("a", {"q": 1}), ("b", {"r": 0})]),
        ('"a" \t,\t "b"', [("a", {}), ("b", {})]),
        ('"a"; q=-5', [("a", {"q": -5})]),
        ('"with \\" and \\\\"', [('with \\" and \\\\', {})]),
        ("999999999999999", [(999_999_999_999_999, {})]),
    ],
)
def test_a_structured_list_is_read(text: str, items: list[tuple[object, dict[str, int]]]) -> None:
    """RFC 9651, as far as the limit headers need it."""
    assert [tuple(item) for item in parse_list(text)] == items


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        '"a",',
        '"a" "b"',
        '"a";',
        '"a";Q=1',
        '"a";q=',
        '"a" ;q=1',
        '"a"q=1',
        "a",
        "'a'",
        '"a',
        '"é"',
        "1000000000000000",
        "1.5",
        '"a";q =1',
        '"a"\n',
    ],
)
def test_what_is_no_structured_list_is_refused(text: str) -> None:
    """Also where a lenient reader would make something of it."""
    with pytest.raises(ValueError, match="structured list"):
        parse_list(text)


@pytest.mark.parametrize(
    "head",
    [
        b"a: b",
        b"a:b\r\n",
        b"a : b\r\n",
        b"A: b\r\n",
        b"a: b \r\n",
        b"a: b\nc: d\r\n",
        b"a: \xff\r\n",
        b"a: b\r\n\r\n",
        b"a: 1\r\na: 2\r\n",
    ],
)
def test_a_malformed_head_is_refused(head: bytes) -> None:
    """Line ends, spaces, case, bytes beyond ASCII, and names that occur twice."""
    with pytest.raises(AssertionError):
        reply_of(Answer(200, head, b""))
