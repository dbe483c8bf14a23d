from __future__ import annotations

import pytest

from .client import Client
from .in_process import SLOW, Listener
from .service import Keys, Service
from .wire import chunked, request, with_key

_CHUNKED = "Transfer-Encoding: chunked"
_NEXT = request("/envoy/any", "X-Request-Id: next", "Connection: close")
# Bodies by how they are announced; 200 kB is more than the kernel's buffers let pass unread.
_BODIES = {
    "10 bytes": ("Content-Length: 10", b"0123456789"),
    "200 kB": ("Content-Length: 200000", b"b" * 200_000),
    "chunked": (_CHUNKED, chunked(b"hello", b"world")),
    "chunked 200 kB": (_CHUNKED, chunked(*[b"c" * 10_000] * 20)),
    "chunked, empty": (_CHUNKED, chunked()),
    "chunk extensions": (_CHUNKED, chunked(b"hello", extension=';a="b"')),
    "trailers": (_CHUNKED, chunked(b"hello", trailers=["X-API-Key: other", "Content-Length: 5"])),
}


def _post(*lines: str, body: bytes = b"") -> bytes:
    return request("/envoy/any", *lines, method="POST", body=body)


@pytest.mark.parametrize(("line", "body"), _BODIES.values(), ids=_BODIES.keys())
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_body_is_discarded_and_ends_the_connection(
    service: Service, keys: Keys, method: str, line: str, body: bytes
) -> None:
    """A check needs none: its answer says that the connection ends, and nothing behind it is read."""
    data = request("/envoy/any", with_key(keys.valid), line, method=method, body=body)
    with Client(service.address) as client:
        client.send_what_is_taken(data + _NEXT)
        (answer,) = client.receive_until_end(method)
    assert answer.status == 200
    assert answer.ends_connection


@pytest.mark.parametrize(("line", "body"), _BODIES.values(), ids=_BODIES.keys())
def test_a_body_does_not_cost_a_waiting_client_its_answer(
    service: Service, keys: Keys, line: str, body: bytes
) -> None:
    """The same while argon2 is at work for it."""
    with Client(service.address) as client:
        client.send_what_is_taken(_post(with_key(next(keys.cold)), line, body=body) + _NEXT)
        (answer,) = client.receive_until_end()
    assert answer.status == 200


@pytest.mark.parametrize("line", ["10", "200000", "10000000000", "18446744073709551615"])
def test_an_announced_body_is_not_waited_for(service: Service, keys: Keys, line: str) -> None:
    """The answer comes at once, be it ten bytes or ten gigabytes, and the client needn't send any of it."""
    with Client(service.address) as client:
        client.send(_post(f"Content-Length: {line}", with_key(keys.valid)))
        (answer,) = client.receive_until_end()
    assert answer.status == 200
    assert answer.ends_connection


def test_the_end_of_a_chunked_body_is_not_waited_for(service: Service, keys: Keys) -> None:
    """The head is all a check needs."""
    with Client(service.address) as client:
        client.send(_post(_CHUNKED, with_key(keys.valid), body=b"5\r\nhel"))
        assert client.receive().status == 200
        client.send_what_is_taken(b"lo\r\n0\r\n\r\n" + _NEXT)
        client.assert_ended()


def test_a_large_body_never_costs_the_client_its_answer(service: Service, keys: Keys) -> None:
    """A megabyte is on its way when the answer is written: closing at once would reset the connection."""
    for _ in range(20):
        with Client(service.address) as client:
            client.send_what_is_taken(
                _post("Content-Length: 1000000", with_key(keys.valid), body=b"b" * 1_000_000)
            )
            assert [answer.status for answer in client.receive_until_end()] == [200]


def test_an_empty_body_is_none(client: Client, keys: Keys) -> None:
    """A length of zero, which proxies like to send, keeps the connection."""
    for length in ("0", "00", "0 "):
        answer = client.ask(_post(f"Content-Length: {length}", with_key(keys.valid)))
        assert answer.status == 200
        assert not answer.ends_connection


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("is_apart", [False, True])
def test_a_body_that_looks_like_a_request_is_none(
    service: Service, keys: Keys, *, is_chunked: bool, is_apart: bool
) -> None:
    """Smuggling: an allowed request in a body is never answered, be it read with its head or on its own."""
    inner = request("/envoy/any", with_key(keys.valid))
    body = chunked(inner) if is_chunked else inner
    with Client(service.address) as client:
        client.send(_post(_CHUNKED if is_chunked else f"Content-Length: {len(inner)}", "X-Request-Id: outer"))
        if is_apart:
            # Once another client has been answered the head has been read.
            service.assert_healthy()
        client.send_what_is_taken(body + inner)
        (answer,) = client.receive_until_end()
    assert answer.status == 401
    assert answer.problem()["request_id"] == "outer"


def test_a_body_is_no_request_wherever_it_is_cut() -> None:
    """The same with every cut of head and body into two reads."""
    inner = request("/envoy/inner")
    for line, body in ((f"Content-Length: {len(inner)}", inner), (_CHUNKED, chunked(inner))):
        data = request("/envoy/outer", line, method="POST", body=body) + request("/envoy/next")
        for position in range(len(data)):
            with Listener() as listener:
                connection = listener.connect()
                connection.send(data[:position], data[position:])
                assert [echo["target"] for echo in connection.echoes()] == ["/envoy/outer"], position
                assert connection.ended


def test_a_body_behind_http_1_0_is_no_request(service: Service, keys: Keys) -> None:
    """Old clients that want to stay connected are read by the same rules."""
    inner = request("/envoy/any", with_key(keys.valid))
    lines = (f"Content-Length: {len(inner)}", "Connection: keep-alive")
    with Client(service.address) as client:
        client.send(request("/envoy/any", *lines, method="POST", version="HTTP/1.0", body=inner + inner))
        assert [answer.status for answer in client.receive_until_end()] == [401]


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize(
    "trailer", ["X-API-Key: {key}", "Authorization: Bearer {key}", "Host: other", "Upgrade: h2c"]
)
def test_trailers_change_no_request(service: Service, keys: Keys, trailer: str, size: int) -> None:
    """A key in a trailer lets in neither its own request nor another one, wherever the bytes are cut."""
    body = chunked(b"hello", trailers=["X-First: 1", trailer.format(key=keys.valid), "X-Last: 1"])
    data = _post(_CHUNKED, body=body) + request("/envoy/any") + _NEXT
    with Client(service.address) as client:
        for start in range(0, len(data), size):
            client.send_what_is_taken(data[start : start + size])
        assert [answer.status for answer in client.receive_until_end()] == [401]


def test_trailers_are_in_no_head() -> None:
    """Nothing of one message gets into another, in one read or in crumbs."""
    data = request("/envoy/1", "X-Own: 1") + request(
        "/envoy/2", _CHUNKED, body=chunked(b"a", trailers=["X-Late: 1"])
    )
    for size in (1, 7, len(data)):
        with Listener() as listener:
            connection = listener.connect()
            connection.send(*(data[start : start + size] for start in range(0, len(data), size)))
            names = [set(echo["headers"]) for echo in connection.echoes()]
        assert names == [{"host", "x-own"}, {"host", "transfer-encoding"}]


def test_a_waiting_client_with_an_endless_body_stops_nobody() -> None:
    """Its own answer comes when it is due, and those of others that are due at the same moment come too."""
    with Listener() as listener:
        waiting, other = listener.connect(), listener.connect()
        waiting.send(request(SLOW, _CHUNKED, method="POST"), *[chunked(b"c" * 50_000)[:-5]] * 20)
        other.send(request(SLOW))
        listener.release_all()
        assert (waiting.statuses(), other.statuses()) == ([200], [200])


def test_an_endless_body_is_not_listened_to_for_ever() -> None:
    """After its answer a client has a moment to notice, whatever it goes on sending."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", _CHUNKED, method="POST"))
        for _ in range(8):
            connection.send(chunked(b"c" * 50_000)[:-5])
            listener.pass_time(1)
        assert connection.statuses() == [200]
        assert connection.transport.lost


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_nobody_is_asked_to_go_on_with_a_body(service: Service, keys: Keys, value: str) -> None:
    """Expect: 100-continue gets the final answer, never 100, and the end: the body may come or not."""
    inner = request("/envoy/any", with_key(keys.valid))
    for sent in (b"", inner, inner * 3):
        with Client(service.address) as client:
            client.send(_post(f"Expect: {value}", f"Content-Length: {len(inner)}"))
            answer = client.receive()
            assert answer.status == 401
            assert answer.ends_connection
            client.send_what_is_taken(sent)
            client.assert_ended()


def test_expect_without_a_body_changes_nothing(client: Client, keys: Keys) -> None:
    """Where no body is announced, none can be expected."""
    for _ in range(2):
        answer = client.ask(request("/envoy/any", "Expect: 100-continue", with_key(keys.valid)))
        assert answer.status == 200
        assert not answer.ends_connection
