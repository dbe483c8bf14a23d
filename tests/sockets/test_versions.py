from __future__ import annotations

import pytest

from .client import Client
from .in_process import Listener
from .service import Keys, Service
from .wire import HOST, request, with_key

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
_WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.parametrize("lines", [_H2C, _WEBSOCKET], ids=["h2c", "websocket"])
def test_an_upgrade_is_never_made(service: Service, keys: Keys, lines: tuple[str, ...]) -> None:
    """The check is answered in HTTP/1.1, and the connection ends, whatever follows in the other protocol."""
    with Client(service.address) as client:
        client.send(request("/envoy/any", with_key(keys.valid), *lines))
        (answer,) = client.receive_until_end()
    assert answer.status == 200
    assert answer.ends_connection
    assert answer.header("upgrade") is None


@pytest.mark.parametrize("lines", [_H2C, _WEBSOCKET], ids=["h2c", "websocket"])
def test_what_follows_an_upgrade_is_not_read(service: Service, keys: Keys, lines: tuple[str, ...]) -> None:
    """A client that takes the upgrade for granted loses neither its answer nor gets another one."""
    for _ in range(20):
        with Client(service.address) as client:
            client.send_what_is_taken(
                request("/envoy/any", *lines) + request("/envoy/any", with_key(keys.valid)) * 2_000
            )
            assert client.receive().status == 401
            client.assert_cut_off()


def test_an_upgrade_that_nobody_asked_for_is_no_matter(client: Client, keys: Keys) -> None:
    """RFC 9110 section 7.8: without Connection: upgrade the header means nothing."""
    for _ in range(2):
        assert client.ask(request("/envoy/any", "Upgrade: h2c", with_key(keys.valid))).status == 200


@pytest.mark.parametrize("target", ["api.example:443", "/envoy/any", f"http://{HOST}/envoy/any"])
def test_connect_opens_no_tunnel(service: Service, keys: Keys, target: str) -> None:
    """CONNECT is never allowed, and nothing behind it is read."""
    with Client(service.address) as client:
        client.send(request(target, with_key(keys.valid), method="CONNECT"))
        (answer,) = client.receive_until_end()
    assert answer.status in {400, 403, 404, 405}
    assert answer.ends_connection
    with Client(service.address) as client:
        client.send_what_is_taken(
            request(target, with_key(keys.valid), method="CONNECT")
            + request("/envoy/any", with_key(keys.valid))
        )
        assert len(client.receive_until_end()) == 1


def test_http_1_0_ends_after_its_answer(service: Service, keys: Keys) -> None:
    """An old client that doesn't ask to stay is not kept, and what it sends behind is not read."""
    with Client(service.address) as client:
        client.send(request("/envoy/any", with_key(keys.valid), version="HTTP/1.0") * 2)
        (answer,) = client.receive_until_end()
    assert answer.status == 200
    assert answer.ends_connection


def test_http_1_0_may_ask_to_stay(client: Client, keys: Keys) -> None:
    """It is told so, because it would not expect it: older nginx speaks HTTP/1.0 to upstreams."""
    for value in ("keep-alive", "Keep-Alive"):
        data = request("/envoy/any", with_key(keys.valid), f"Connection: {value}", version="HTTP/1.0")
        answer = client.ask(data)
        assert answer.status == 200
        assert answer.header("connection") == "keep-alive"
    assert client.ask(request("/envoy/any", with_key(keys.valid))).status == 200


def test_http_1_0_needs_no_host(service: Service, keys: Keys) -> None:
    """The header came with HTTP/1.1."""
    with Client(service.address) as client:
        client.send(request("/envoy/any", with_key(keys.valid), version="HTTP/1.0", host=None))
        assert [answer.status for answer in client.receive_until_end()] == [200]


@pytest.mark.parametrize("data", [b"GET /envoy/any\r\n\r\n", b"GET /envoy/any\r\nHost: api.example\r\n\r\n"])
def test_http_0_9_is_refused(service: Service, data: bytes) -> None:
    """A request line without version never gets the bare body that HTTP/0.9 would send."""
    with Client(service.address) as client:
        client.send(data)
        (answer,) = client.receive_until_end()
    assert answer.status == 400
    assert answer.ends_connection


def test_the_preface_of_http_2_is_refused(service: Service) -> None:
    """A proxy that is set to HTTP/2 gets an answer that it can't read, and the end; nothing is a request."""
    with Client(service.address) as client:
        client.send(_PREFACE + _SETTINGS_FRAME)
        assert [answer.status for answer in client.receive_until_end()] == [400]
    service.assert_healthy()


def test_the_preface_of_http_2_is_refused_however_it_is_cut() -> None:
    """The same with the preface in two reads, cut anywhere."""
    data = _PREFACE + _SETTINGS_FRAME
    for position in range(len(data)):
        with Listener() as listener:
            connection = listener.connect()
            connection.send(data[:position], data[position:])
            assert connection.statuses() == [400], position


@pytest.mark.parametrize("version", ["RTSP/1.0", "RTSP/1.1", "ICE/1.1"])
def test_relatives_of_http_get_no_further_than_http(service: Service, version: str) -> None:
    """They are framed alike, and llhttp reads them too: no key, no entry, and no answer too many."""
    method = "SOURCE" if version.startswith("ICE") else "GET"
    last = request("/envoy/any", "Connection: close", "X-Request-Id: last")
    with Client(service.address) as client:
        client.send(request("/envoy/any", method=method, version=version) + last)
        first, *others = client.receive_until_end()
    assert first.status in {400, 401}
    assert [answer.problem()["request_id"] for answer in others] == (
        [] if first.ends_connection else ["last"]
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("Connection: close",),
        ("CONNECTION: CLOSE",),
        ("Connection: close, keep-alive",),
        ("Connection: keep-alive , close",),
        ("Connection: keep-alive", "Connection: close"),
        ("Connection: close\t ",),
    ],
)
def test_a_client_that_wants_to_end_is_let_go(service: Service, keys: Keys, lines: tuple[str, ...]) -> None:
    """Connection: close, in whatever form, is honoured and confirmed; a request behind it is not read."""
    with Client(service.address) as client:
        client.send(request("/envoy/any", with_key(keys.valid), *lines) + request("/envoy/any"))
        (answer,) = client.receive_until_end()
    assert answer.status == 200
    assert answer.ends_connection


def test_a_waiting_client_that_wants_to_end_is_let_go(service: Service, keys: Keys) -> None:
    """The same where the answer has to wait for argon2."""
    with Client(service.address) as client:
        client.send(
            request("/envoy/any", with_key(next(keys.cold)), "Connection: close") + request("/envoy/any")
        )
        (answer,) = client.receive_until_end()
    assert answer.status == 200
    assert answer.ends_connection


def test_a_client_that_says_it_stays_is_kept(client: Client, keys: Keys) -> None:
    """Connection: keep-alive is the rule in HTTP/1.1 and needs no confirmation."""
    for _ in range(3):
        answer = client.ask(request("/envoy/any", with_key(keys.valid), "Connection: keep-alive"))
        assert (answer.status, answer.header("connection")) == (200, None)
