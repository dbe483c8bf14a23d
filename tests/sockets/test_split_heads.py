from __future__ import annotations

from itertools import combinations

import pytest

from .client import Client
from .in_process import Listener
from .service import Keys, Service
from .wire import chunked, request, with_key

_PLAIN = request(
    "/envoy/plain?query", "X-Request-Id: 1", "X-Empty:", "Mixed-Case: \tvalue ", "X-Two: 1", "X-Two: 2"
)
_OTHER = request("/envoy/other", "X-API-Key: other", method="DELETE")
_LAST = request("/envoy/last", "Transfer-Encoding: chunked", method="POST", body=chunked(b"abc", b"d"))
# A body ends the connection, so what comes behind it must never be seen.
_STREAM = _PLAIN + _OTHER + _PLAIN + _LAST + _PLAIN


def _echoes(*reads: bytes) -> list[object]:
    with Listener() as listener:
        connection = listener.connect()
        connection.send(*reads)
        return [*connection.echoes()]


@pytest.fixture(scope="module")
def whole() -> list[object]:
    """What the check sees when each message arrives in a read of its own."""
    echoes = _echoes(_PLAIN, _OTHER, _PLAIN, _LAST)
    assert len(echoes) == 4
    assert echoes[0] == echoes[2]
    return echoes


def test_a_head_may_be_split_at_every_byte(client: Client, service: Service, keys: Keys) -> None:
    """Wherever a head is cut in two the answer is the same, on one kept connection."""
    head = request("/envoy/any", with_key(keys.valid))
    with Client(service.address) as other:
        for position in range(1, len(head)):
            client.send(head[:position])
            # Sent later on another connection, and answered: by then the first piece has been read.
            assert other.ask(head).status == 200
            client.assert_silent_and_open()
            assert client.ask(head[position:]).status == 200, position


def test_a_head_may_come_byte_by_byte(client: Client, service: Service, keys: Keys) -> None:
    """Every byte in a segment of its own is slow, but a request."""
    with Client(service.address) as other:
        for byte in request("/envoy/any", with_key(keys.valid)):
            client.assert_silent_and_open()
            client.send(bytes([byte]))
            assert other.ask(request("/envoy/open/a")).status == 200
        assert client.receive().status == 200


def test_messages_may_be_cut_in_two_anywhere(whole: list[object]) -> None:
    """Several messages, the last with a body, are read alike wherever their bytes are cut."""
    for position in range(len(_STREAM)):
        assert _echoes(_STREAM[:position], _STREAM[position:]) == whole, position


def test_a_message_may_be_cut_in_three_anywhere(whole: list[object]) -> None:
    """Two cuts in a head, each pair of places, change nothing in what is read."""
    for first, second in combinations(range(0, len(_PLAIN), 3), 2):
        assert _echoes(_PLAIN[:first], _PLAIN[first:second], _PLAIN[second:]) == whole[:1], (first, second)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_messages_may_be_cut_into_crumbs(whole: list[object], size: int) -> None:
    """Reads of a fixed small size, which fall differently into each message, change nothing."""
    assert _echoes(*(_STREAM[start : start + size] for start in range(0, len(_STREAM), size))) == whole


def test_all_messages_may_come_in_one_read(whole: list[object]) -> None:
    """What comes together is read as what comes apart; nothing of one message gets into the next."""
    assert _echoes(_STREAM) == whole


def test_a_split_that_leaves_an_empty_line_for_later_answers_once() -> None:
    """A head whose last two bytes come later is answered then, not before, and once."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(_PLAIN[:-2])
        assert connection.statuses() == []
        connection.send(_PLAIN[-2:])
        assert connection.statuses() == [200]


def test_empty_lines_before_a_request_are_skipped() -> None:
    """RFC 9112 section 2.2: old clients send an empty line too many after a body."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(b"\r\n" + _PLAIN, b"\r\n", b"\r\n\r\n" + _PLAIN)
        assert connection.statuses() == [200, 200]
