from __future__ import annotations

import re

import pytest

from . import shipped
from .client import HOST, Connection, request
from .conftest import Keys, Proxy
from .service import Service
from .upstream import Upstream

_CHECKS = 40


def test_checks_share_one_connection(proxy: Proxy, keys: Keys, upstream: Upstream, service: Service) -> None:
    """Allowed and refused checks, with and without body, go over one kept connection to extauth."""
    request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    before = service.connections()
    with Connection(proxy.port) as connection:
        for number in range(_CHECKS):
            key = (keys.reader, keys.spent)[number % 2]
            method = ("GET", "HEAD", "POST")[number % 3]
            status = connection.request("/public/a", method=method, headers=[("X-API-Key", key.text)]).status
            assert status == (200 if key is keys.reader else 403)
    assert service.connections() == before
    assert len(upstream.requests) == 1 + _CHECKS // 2


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("envoy/envoy.yaml", r"common_http_protocol_options: \{ idle_timeout: (\d+)s \}"),
        ("nginx/extauth-http.conf", r"keepalive_timeout (\d+)s;"),
        (f"deploy/traefik/{shipped.PLUGIN}/extauth.go", r"idleTimeout += (\d+) \* time.Second"),
        ("deploy/caddy/Caddyfile", r"keepalive (\d+)s"),
    ],
)
def test_the_proxies_let_go_of_idle_connections_first(service: Service, file: str, setting: str) -> None:
    """Were extauth the first, a check would now and then be sent into a connection that is just closing."""
    found = re.findall(setting, (shipped.REPOSITORY / file).read_text())
    assert found
    assert max(map(int, found)) <= service.idle_timeout() - 10


def test_headers_that_extauth_needs_not_are_not_its_burden(
    proxy: Proxy, keys: Keys, upstream: Upstream
) -> None:
    """The check carries listed headers only: 21 kB of cookies, more than extauth reads, pass by."""
    cookies = [("Cookie", f"crumb-{number}={'c' * 7_000}") for number in range(3)]
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text), *cookies])
    assert answer.status == 200
    assert sum(len(value) for value in upstream.requests[0].all("cookie")) > 21_000


def test_the_longest_head_that_nginx_passes_is_read(proxy: Proxy, upstream: Upstream) -> None:
    """8 kB each of target and credentials, nginx's bound for a line, are no reason to refuse a request."""
    credentials = [("Authorization", f"Bearer {'a' * 7_900}"), ("X-API-Key", "a" * 7_900)]
    answer = request(proxy.port, f"/open/{'a' * 7_900}", headers=credentials)
    assert answer.status == 200
    assert len(upstream.requests) == 1


def test_a_head_too_large_for_extauth_is_refused(proxy: Proxy, upstream: Upstream) -> None:
    """Credentials that extauth won't read are refused, never passed, and never a 500."""
    answer = request(proxy.port, "/open/a", headers=[("X-API-Key", "a" * 40_000)])
    assert answer.status in {400, 431}
    assert upstream.requests == []


def test_requests_share_one_connection_to_the_upstream(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """What is set for the sake of the check does not cost the upstream its kept connections."""
    request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    before = upstream.connections
    for method in ("GET", "HEAD", "POST", "GET"):
        request(proxy.port, "/public/a", method=method, headers=[("X-API-Key", keys.reader.text)])
    assert upstream.connections == before
    assert [received.header("host") for received in upstream.requests] == [HOST] * 5


def test_refusals_of_each_kind_keep_the_connection_to_extauth(
    proxy: Proxy, keys: Keys, upstream: Upstream, service: Service
) -> None:
    """Refusals carry a body; reading or skipping it must not cost a new connection per refusal."""
    before = service.connections()
    for target, key in (
        ("/a;b", keys.reader.text),
        ("/any", "wrong"),
        ("/admin", keys.reader.text),
        ("/any", keys.spent.text),
    ):
        for _ in range(5):
            assert request(proxy.port, target, headers=[("X-API-Key", key)]).status in {400, 401, 403, 429}
    assert service.connections() - before <= 1
    assert upstream.requests == []
