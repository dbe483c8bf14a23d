from __future__ import annotations

import contextlib

import pytest

from .client import Connection
from .conftest import Keys, Proxy
from .lacks import Lack
from .service import Service
from .upstream import Upstream

_BODY = b"b" * 200_000


def test_large_bodies_pass_or_are_discarded_on_kept_connections(
    proxy: Proxy, keys: Keys, upstream: Upstream
) -> None:
    """Uploads of 200 kB, allowed and refused, neither hang nor shift the answers of their connection."""
    steps = [
        ("/public/a", keys.reader.text, 200),
        ("/public/a", "wrong", 401),
        ("/public/a", keys.reader.text, 200),
        ("/admin", keys.reader.text, 403),
        ("/any", keys.spent.text, 429),
        ("/public/a;b", keys.reader.text, 400),
        ("/public/a", keys.reader.text, 200),
    ] * 3
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(Connection(proxy.port))
        for target, key, status in steps:
            answer = connection.request(target, method="POST", headers=[("X-API-Key", key)], body=_BODY)
            assert answer.status == status
            if answer.header("connection") == "close":
                assert not proxy.can(Lack.KEPT_UPLOAD)
                assert status != 200
                connection = stack.enter_context(Connection(proxy.port))
    allowed = [status for _, _, status in steps if status == 200]
    assert [received.body_length for received in upstream.requests] == [len(_BODY)] * len(allowed)


def test_chunked_uploads_keep_their_framing(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """An upload without a length is framed anew or passed on whole, and a refused one is read to its end."""
    chunked = ("Transfer-Encoding", "chunked")
    with Connection(proxy.port) as connection:
        for key, status in ((keys.reader.text, 200), ("wrong", 401), (keys.reader.text, 200)):
            connection.send("/public/a", method="POST", headers=[("X-API-Key", key), chunked])
            connection.send_body(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            answer = connection.receive()
            assert answer.status == status
            if answer.header("connection") == "close":
                # It may have answered before the last chunk came; what follows needs a new connection.
                assert (proxy.can(Lack.KEPT_UPLOAD), status) == (False, 401)
                break
    assert {received.body_length for received in upstream.requests} == {11}


@pytest.mark.parametrize("framing", [("Content-Length", "100000"), ("Transfer-Encoding", "chunked")])
def test_an_upload_is_refused_before_it_is_sent(
    proxy: Proxy, upstream: Upstream, framing: tuple[str, str]
) -> None:
    """A refused client needn't send its body first: the check waits for the head only."""
    with Connection(proxy.port) as connection:
        connection.send("/public/a", method="POST", headers=[framing])
        if "chunked" in framing and not proxy.can(Lack.EARLY_REFUSAL):
            assert not connection.is_answered(within=0.2)
            connection.send_body(b"0\r\n\r\n")
        assert connection.receive().status == 401
    assert upstream.requests == []


def test_bodies_are_none_of_extauths_business(
    proxy: Proxy, keys: Keys, upstream: Upstream, service: Service
) -> None:
    """Uploads cost extauth no connection: what the check carries has no body that could be left unread."""
    before = service.connections()
    with Connection(proxy.port) as connection:
        for _ in range(10):
            connection.request(
                "/public/a", method="POST", headers=[("X-API-Key", keys.reader.text)], body=_BODY
            )
    assert len(upstream.requests) == 10
    assert service.connections() - before <= 1
