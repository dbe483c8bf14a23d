from __future__ import annotations

import pytest

from .client import Client
from .service import Keys, Service
from .wire import request, with_key


def _statuses(service: Service, data: bytes) -> list[int]:
    with Client(service.address) as client:
        client.send(data + request("/envoy/any", "Connection: close"))
        return [answer.status for answer in client.receive_until_end()]


def test_a_request_without_host_is_refused(service: Service, keys: Keys) -> None:
    """RFC 9112 section 3.2, and rules for hosts need one."""
    assert _statuses(service, request("/envoy/any", with_key(keys.valid), host=None)) == [400]


@pytest.mark.parametrize("second", ["Host: api.example", "Host: other.example", "HOST: api.example", "host:"])
def test_two_hosts_are_refused(service: Service, keys: Keys, second: str) -> None:
    """Also where both say the same: the next proxy might take the other one."""
    assert _statuses(service, request("/envoy/any", with_key(keys.valid), second)) == [400]
    # Before all other lines as well as behind them.
    assert _statuses(service, request("/envoy/any", second, with_key(keys.valid))) == [400]


@pytest.mark.parametrize(
    "host",
    [
        "user@api.example",
        "user:password@api.example",
        "api.example:80@other.example",
        "api.example,other.example",
        "api.example, other.example",
        "api.example other.example",
        "api.example/path",
        "api.example?query",
        "api.example#fragment",
        "api.example\\other",
        "http://api.example",
        "api.example:port",
        "api.example:80:80",
        "[::1",
        "::1]",
        '"api.example"',
        "<api.example>",
        "api.ex\xe4mple",
    ],
)
def test_a_host_that_is_none_is_refused(service: Service, keys: Keys, host: str) -> None:
    """A rule might see another host in it than the upstream does (RFC 9112 section 3.2 wants a 400)."""
    assert _statuses(service, request("/envoy/any", with_key(keys.valid), host=host))[0] == 400


@pytest.mark.parametrize(
    "host",
    [
        "api.example",
        "API.Example",
        "api.example.",
        "api.example:8080",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:80",
        "a_b.c",
    ],
)
def test_hosts_as_clients_send_them_are_fine(client: Client, keys: Keys, host: str) -> None:
    """Names, addresses and ports."""
    assert client.ask(request("/envoy/any", with_key(keys.valid), host=host)).status == 200
