from __future__ import annotations

import pytest

from . import malformed
from .client import Client
from .in_process import Listener
from .service import Keys, Service
from .wire import request, with_key

_NEXT = request("/envoy/smuggled", "X-Request-Id: smuggled", "Connection: close")


@pytest.mark.parametrize("data", malformed.REQUESTS.values(), ids=malformed.REQUESTS.keys())
def test_a_malformed_request_is_refused_with_all_behind_it(service: Service, keys: Keys, data: bytes) -> None:
    """One 400 and the end: what follows, and might be a part of it, is never read as a request."""
    with Client(service.address) as client:
        client.send(request("/envoy/any", with_key(keys.valid)) + data + _NEXT)
        answers = client.receive_until_end()
    assert [answer.status for answer in answers] in ([200, 400], [200, 431])
    assert answers[1].ends_connection
    assert answers[1].problem()["code"] in {"bad_request", "head_too_large"}


@pytest.mark.parametrize("data", malformed.REQUESTS.values(), ids=malformed.REQUESTS.keys())
def test_a_malformed_request_is_refused_however_it_is_cut(data: bytes) -> None:
    """The same, read byte by byte: no cut turns it into something else."""
    with Listener(head_bytes=100_000) as listener:
        connection = listener.connect()
        for byte in data + _NEXT:
            connection.send(bytes([byte]))
        assert connection.statuses() in ([400], [431])
        assert connection.ended


@pytest.mark.parametrize("body", malformed.BODIES.values(), ids=malformed.BODIES.keys())
def test_a_malformed_body_ends_the_connection_without_another_answer(service: Service, body: bytes) -> None:
    """Its request was answered when its head was read; a second answer would pass for that to the next."""
    head = request("/envoy/any", "Transfer-Encoding: chunked", "X-Request-Id: first", method="POST")
    with Client(service.address) as client:
        client.send_what_is_taken(head + body + _NEXT)
        (answer,) = client.receive_until_end()
    assert answer.status == 401
    assert answer.problem()["request_id"] == "first"
    service.assert_healthy()


@pytest.mark.parametrize("body", malformed.BODIES.values(), ids=malformed.BODIES.keys())
def test_a_malformed_body_is_noticed_however_it_is_cut(body: bytes) -> None:
    """The same, read byte by byte."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/first", "Transfer-Encoding: chunked", method="POST"))
        for byte in body + _NEXT:
            connection.send(bytes([byte]))
        assert [echo["target"] for echo in connection.echoes()] == ["/envoy/first"]
        assert connection.statuses() == [200]
        assert connection.ended


def test_a_refusal_is_counted(service: Service) -> None:
    """Operators see malformed requests in the metrics; they leave no decision in the log."""
    before = service.metric("extauth_http_refusals_total")
    with Client(service.address) as client:
        client.send(malformed.LENGTHS["twice different"])
        assert [answer.status for answer in client.receive_until_end()] == [400]
    assert service.metric("extauth_http_refusals_total") == before + 1
