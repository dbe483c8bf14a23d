from __future__ import annotations

import pytest

from .client import Client
from .in_process import Listener
from .service import Keys, Service
from .wire import request, with_key


@pytest.mark.parametrize("name", ["X-API-Key", "x-api-key", "X-API-KEY", "x-ApI-kEy"])
def test_the_case_of_names_does_not_matter(client: Client, keys: Keys, name: str) -> None:
    """RFC 9110 section 5.1."""
    assert client.ask(request("/envoy/any", f"{name}: {keys.valid}")).status == 200


@pytest.mark.parametrize("before", ["", " ", "\t", "   ", " \t \t"])
@pytest.mark.parametrize("after", ["", " ", "\t", "   ", "\t \t "])
def test_white_space_around_a_value_is_no_part_of_it(
    client: Client, keys: Keys, before: str, after: str
) -> None:
    """RFC 9110 section 5.5: spaces and tabs, before and behind, in whichever header the key stands."""
    for line in (
        f"X-API-Key:{before}{keys.valid}{after}",
        f"Authorization:{before}Bearer {keys.valid}{after}",
    ):
        assert client.ask(request("/envoy/any", line)).status == 200


def test_values_are_seen_trimmed_and_otherwise_untouched() -> None:
    """What the check sees is the value as it was sent, without the white space around it."""
    values = {
        "x-empty": ("", ""),
        "x-blank": (" \t ", ""),
        "x-inner": (" a \t b ", "a \t b"),
        "x-high": ("\xe4\xff\x80", "\xe4\xff\x80"),
        # No white space in HTTP, though it is in Python.
        "x-no-break": (" \xa0a\xa0 ", "\xa0a\xa0"),
        "x-next-line": (" a\x85", "a\x85"),
        "x-colon": (":a: b:", ":a: b:"),
    }
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", *(f"{name}:{sent}" for name, (sent, _) in values.items())))
        (echo,) = connection.echoes()
    assert {name: echo["headers"][name] for name in values} == {
        name: seen for name, (_, seen) in values.items()
    }


def test_an_empty_credential_is_none(client: Client) -> None:
    """Some proxies pass on an absent header as an empty one."""
    for line in ("X-API-Key:", "X-API-Key: ", "X-API-Key:\t"):
        assert client.ask(request("/envoy/any", line)).problem()["code"] == "missing_key"


@pytest.mark.parametrize(
    "lines",
    [
        ("X-API-Key: {key}", "X-API-Key: {key}"),
        ("X-API-Key: {key}", "x-api-key: {key}"),
        ("x-api-key: {key}", "X-Api-Key: other"),
        ("X-API-Key: other", "X-Other: 1", "X-API-KEY: {key}"),
        ("X-API-Key: {key}", "X-API-Key:"),
        ("X-API-Key:", "X-API-Key: {key}"),
        ("Authorization: Bearer {key}", "Authorization: Bearer {key}"),
        ("Authorization: Bearer {key}", "authorization: Bearer other"),
        ("Authorization: Bearer {key}", "AUTHORIZATION: Basic dTpw"),
        ("Authorization: Basic dTpw", "Authorization: Bearer {key}"),
        ("Authorization: Bearer {key}", "X-API-Key: other"),
        ("Authorization: Bearer {key}", "X-API-Key: {key}", "X-API-Key: {key}"),
    ],
)
def test_two_credentials_are_never_allowed(client: Client, keys: Keys, lines: tuple[str, ...]) -> None:
    """Repeated lines in any case, the valid key first or last: nobody chooses among them."""
    answer = client.ask(request("/envoy/any", *(line.format(key=keys.valid) for line in lines)))
    assert answer.status == 400
    assert answer.problem()["code"] == "ambiguous_credentials"


def test_repeated_lines_are_joined_in_order() -> None:
    """RFC 9110 section 5.3; and what was repeated is known, for those headers where a list makes no sense."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", "X-A: 1 ", "x-B: 0", "x-a:  2", "X-a:", "X-A: 3"))
        (echo,) = connection.echoes()
    assert echo["headers"]["x-a"].replace(", ", ",") == "1,2,,3"
    assert echo["repeated"] == ["x-a"]


def test_what_was_repeated_once_is_forgotten_with_its_request() -> None:
    """The next request of the connection has its own lines only."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", "X-A: 1", "X-A: 2") + request("/envoy/any", "X-A: 3"))
        connection.send(request("/envoy/any", "X-A: 1", "X-A: 2"), request("/envoy/any", "X-A: 3"))
        echoes = connection.echoes()
    assert [echo["repeated"] for echo in echoes] == [["x-a"], [], ["x-a"], []]
    assert [echo["headers"]["x-a"] for echo in echoes] == ["1,2", "3", "1,2", "3"]


@pytest.mark.parametrize("code", [*range(9), *range(10, 32), 127])
@pytest.mark.parametrize("place", ["before", "inside", "behind"])
def test_control_characters_in_values_are_refused(
    service: Service, keys: Keys, code: int, place: str
) -> None:
    """NUL, line ends and the others: some parsers end a value there, others don't."""
    half, character = len(keys.valid) // 2, chr(code)
    value = {
        "before": character + keys.valid,
        "inside": keys.valid[:half] + character + keys.valid[half:],
        "behind": keys.valid + character,
    }[place]
    with Client(service.address) as client:
        client.send(
            request("/envoy/any", f"X-API-Key: {value}") + request("/envoy/any", with_key(keys.valid))
        )
        assert [answer.status for answer in client.receive_until_end()] == [400]


@pytest.mark.parametrize("code", [0x80, 0x85, 0xA0, 0xE4, 0xFF])
def test_bytes_beyond_ascii_are_no_part_of_a_key(client: Client, keys: Keys, code: int) -> None:
    """They are allowed in values (RFC 9110 section 5.5), and make a key another one; none is trimmed away."""
    for value in (keys.valid + chr(code), chr(code) + keys.valid):
        assert client.ask(request("/envoy/any", f"X-API-Key: {value}")).status == 401
        assert client.ask(request("/envoy/any", f"Authorization: Bearer {value}")).status == 401
