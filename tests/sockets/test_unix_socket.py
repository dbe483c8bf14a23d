from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import malformed
from .client import Client
from .conftest import running
from .service import Service
from .wire import chunked, request, with_key


@pytest.fixture
def local(folder: Path) -> Iterator[Service]:
    """A server that listens on a unix socket."""
    with running(Service(folder, socket=str(folder / "check.sock"), cold=1)) as service:
        yield service


def test_a_unix_socket_serves_like_a_port(local: Service) -> None:
    """Pipelining, argon2, bodies, refusals and half-closed connections work the same."""
    assert isinstance(local.address, str)
    assert Path(local.address).is_socket()
    valid, cold = with_key(local.keys.valid), with_key(next(local.keys.cold))
    with Client(local.address) as client:
        client.send(request("/envoy/any", cold) + request("/envoy/any") + request("/envoy/any", valid) * 50)
        assert [client.receive().status for _ in range(52)] == [200, 401, *[200] * 50]
        client.send(request("/envoy/any", valid, "Transfer-Encoding: chunked", body=chunked(b"b" * 1_000)))
        assert [answer.status for answer in client.receive_until_end()] == [200]
    with Client(local.address) as client:
        client.send(malformed.LENGTHS["twice different"])
        assert [answer.status for answer in client.receive_until_end()] == [400]
    with Client(local.address) as client:
        client.send(request("/envoy/any", valid))
        client.send_end()
        assert [answer.status for answer in client.receive_until_end()] == [200]
    local.assert_healthy()


def test_a_socket_that_a_killed_server_left_behind_is_taken_over(folder: Path) -> None:
    """The next start works without anybody's help."""
    path = folder / "check.sock"
    service = Service(folder, socket=str(path))
    service.start()
    service.kill()
    assert path.is_socket()
    service.start()
    service.assert_healthy()
    service.stop()
