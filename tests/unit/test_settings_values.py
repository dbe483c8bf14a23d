"""Durations, rates and addresses: what is written is what is meant, and nonsense is a ValueError."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauth.settings import grammar
from extauth.settings.values import (
    LARGEST_COUNT,
    LONGEST_DURATION,
    MILLISECOND,
    MONTH,
    PERIODS,
    Address,
    Rate,
    format_duration,
    format_rate,
    name_of_period,
    parse_address,
    parse_duration,
    parse_rate,
    to_duration,
)

durations = st.integers(1, LONGEST_DURATION // MILLISECOND).map(lambda count: count * MILLISECOND)
counts = st.integers(1, LARGEST_COUNT)
ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).map(str)
names = st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9]{0,20}){0,3}", fullmatch=True)
socket_paths = st.from_regex(r"(/[A-Za-z0-9._-]{1,20}){1,4}", fullmatch=True)
PARSERS: list[Callable[[str], object]] = [
    parse_duration,
    parse_rate,
    parse_address,
    grammar.check_template,
    grammar.check_host,
    grammar.check_scope,
    grammar.check_method,
    grammar.check_docs_url,
    grammar.check_store_url,
    grammar.check_printable,
]


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text() | st.text(alphabet="0123456789dhms/:[]. burst{}*%-@"))
def test_arbitrary_text_is_a_value_error_at_worst(parse: Callable[[str], object], text: str) -> None:
    """Whatever an operator writes is a mistake with a sentence, never a crash."""
    try:
        parse(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most texts raise, some are valid


@given(durations)
def test_durations_survive_their_text_form(duration: timedelta) -> None:
    """What `config show` prints can be given back."""
    assert parse_duration(format_duration(duration)) == duration


@given(counts, durations | st.sampled_from(list(PERIODS.values())), counts | st.none())
def test_rates_survive_their_text_form(amount: int, period: timedelta, burst: int | None) -> None:
    """What `config show` prints can be given back."""
    rate = Rate(amount, period, burst)
    assert parse_rate(format_rate(rate)) == rate


@given(durations)
def test_every_period_gives_a_valid_name(period: timedelta) -> None:
    """The name of a rate without one fits the RateLimit headers."""
    name = name_of_period(period)
    assert grammar.check_rate_name(name) == name


@given(
    st.builds(Address, host=ipv4 | ipv6 | names, port=st.integers(0, 65_535))
    | st.builds(Address, path=socket_paths)
)
def test_addresses_survive_their_text_form(address: Address) -> None:
    """What `config show` prints can be given back."""
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("75s", timedelta(seconds=75)),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(minutes=90)),
        ("90d", timedelta(days=90)),
        ("1d1h1m1s1ms", timedelta(days=1, hours=1, minutes=1, seconds=1, milliseconds=1)),
    ],
)
def test_durations_mean_what_they_say(text: str, expected: timedelta) -> None:
    """Each unit has its length, and several add up."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "1.5s", "-1s", "1 s", "1s1m", "1s1s", "1w", "٣s", "1S", " 1s", "1s\n"]
)
def test_other_forms_of_durations_are_refused(text: str) -> None:
    """One way to write a duration: no signs, fractions, spaces, or other units and digits."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_bare_number_is_refused_with_a_hint() -> None:
    """Seconds or milliseconds? Nobody has to guess."""
    with pytest.raises(ValueError, match="'75' has no unit: write 75s for seconds"):
        to_duration(75)


@pytest.mark.parametrize("text", ["0s", "36501d", "999999999999999d"])
def test_durations_are_longer_than_nothing_and_shorter_than_a_century(text: str) -> None:
    """Out of bounds is a mistake, not an overflow."""
    with pytest.raises(ValueError, match="longer than"):
        parse_duration(text)


@pytest.mark.parametrize(
    "value", [True, None, [], timedelta(), timedelta(microseconds=1), timedelta(days=-1)]
)
def test_what_has_no_text_form_is_no_duration(value: object) -> None:
    """Code can't set what a file could not."""
    with pytest.raises(ValueError, match="duration"):
        to_duration(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/second burst 20", Rate(10, timedelta(seconds=1), 20)),
        ("1000/hour", Rate(1000, timedelta(hours=1))),
        ("5/10s", Rate(5, timedelta(seconds=10))),
        ("7/minute burst 1", Rate(7, timedelta(minutes=1), 1)),
        ("3/day", Rate(3, timedelta(days=1))),
        ("3/week", Rate(3, timedelta(days=7))),
        ("100000/month", Rate(100_000, MONTH)),
    ],
)
def test_rates_mean_what_they_say(text: str, expected: Rate) -> None:
    """The examples of the documentation."""
    assert parse_rate(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "10", "10/", "/second", "10/seconds", "10 / second", "10/second burst", "10/0s", "0/second", "9/h"],
)
def test_other_forms_of_rates_are_refused(text: str) -> None:
    """One way to write a rate: no plurals, no zero, no spaces around the slash."""
    with pytest.raises(ValueError, match=r"rate|period|duration"):
        parse_rate(text)


@pytest.mark.parametrize("text", [f"{10**9 + 1}/day", "1/day burst 1000000001", "1" + "0" * 5000 + "/day"])
def test_counts_are_bounded(text: str) -> None:
    """No count overflows the arithmetic behind it, and no number of digits does harm."""
    with pytest.raises(ValueError, match="of a rate must be 1 to 1000000000"):
        parse_rate(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "9000", ":9000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:9000", "[127.0.0.1]:1",
        "[::g]:1", "[]:1", "127.0.0.1.5:1", "999.0.0.1:1", "a..b:1", "-a:1", "unix:", "unix:check.sock",
        "unix:/run/", "unix:/a\nb", "unix:/" + "x" * 107, "http://a:1",
    ],
)  # fmt: skip
def test_other_forms_of_addresses_are_refused(text: str) -> None:
    """What can't be bound, or would be bound elsewhere than it says, is a mistake at load."""
    with pytest.raises(ValueError, match=r"address|host|port|socket|IPv6"):
        parse_address(text)


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("127.0.0.1:9000", "127.0.0.1:9000", True),
        ("127.0.0.1:9000", "127.0.0.1:9001", False),
        ("127.0.0.1:9000", "127.0.0.2:9000", False),
        ("0.0.0.0:9000", "127.0.0.1:9000", True),
        ("[::]:9000", "127.0.0.1:9000", False),
        ("[::1]:9000", "[0:0:0:0:0:0:0:1]:9000", True),
        ("localhost:9000", "LOCALHOST:9000", True),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "127.0.0.1:9000", False),
    ],
)
def test_collisions_are_seen_through_spellings(one: str, other: str, *, collide: bool) -> None:
    """Two listeners that the system would refuse to open together are known before anything is opened."""
    assert parse_address(one).collides_with(parse_address(other)) == collide
    assert parse_address(other).collides_with(parse_address(one)) == collide
