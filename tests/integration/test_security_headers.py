"""Every answer has the security headers, once, whoever made it; and the upstream's own stay as they are."""

from __future__ import annotations

import pytest

from extauth.settings.headers import SECURITY_HEADERS

from .client import HOST, Connection, Response, request
from .conftest import Keys, Proxy
from .lacks import Lack
from .service import Service
from .upstream import Answer, Upstream

_HSTS = "strict-transport-security"
_EXPECTED = {name.lower(): value for name, value in SECURITY_HEADERS.items()}


# What a proxy answers on its own, before it asks anybody: what is sent, to whom, and the status.
_ALONE = {
    "no HTTP": (
        "what is this\r\n\r\n",
        {"envoy": 400, "nginx": 400, "traefik": 400, "caddy": 400, "haproxy": 400},
    ),
    "two lengths": (
        f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        {"envoy": 400, "nginx": 400, "traefik": 400, "caddy": 400, "haproxy": 400},
    ),
    "no host": ("GET / HTTP/1.1\r\n\r\n", {"envoy": 400, "nginx": 400}),
    "escaped slash": (f"GET /a%2fb HTTP/1.1\r\nHost: {HOST}\r\n\r\n", {"envoy": 400, "traefik": 400}),
    "long head": (
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Long: {'x' * 70_000}\r\n\r\n",
        {"envoy": 431, "nginx": 400, "caddy": 431, "haproxy": 400},
    ),
    "HTTP/1.0": ("GET / HTTP/1.0\r\n\r\n", {"envoy": 426}),
    "long body": (
        f"POST /open/a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2000000\r\n\r\n",
        {"nginx": 413},
    ),
    "TRACE": (f"TRACE / HTTP/1.1\r\nHost: {HOST}\r\n\r\n", {"nginx": 405}),
}
_CASES = [(head, name, status) for head, each in _ALONE.values() for name, status in each.items()]
_IDS = [f"{case}-{name}" for case, (_, each) in _ALONE.items() for name in each]


def _found(answer: Response) -> dict[str, str | None]:
    return {name: answer.header(name) for name in _EXPECTED}


@pytest.mark.parametrize("status", [200, 204, 301, 404, 429, 500, 503])
def test_the_upstreams_answers_have_them(proxy: Proxy, keys: Keys, upstream: Upstream, status: int) -> None:
    """All of them where the upstream sets none, whatever its status."""
    upstream.answer = Answer(status, body=b"" if status == 204 else b"x")
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    assert (answer.status, _found(answer)) == (status, _EXPECTED)


def test_what_the_upstream_sets_itself_stays(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """An API with pages knows better what they may load: its word isn't doubled, nor replaced if possible."""
    own = {**dict.fromkeys(_EXPECTED, "own"), _HSTS: "max-age=1"}
    upstream.answer = Answer(headers=tuple(own.items()))
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    stays = proxy.can(Lack.UPSTREAMS_OWN)
    assert {name: answer.header(name) for name in own} == (own if stays else {**own, **_EXPECTED})


def test_one_header_of_the_upstream_does_not_cost_the_others(
    proxy: Proxy, keys: Keys, upstream: Upstream
) -> None:
    """Each is looked at for itself."""
    upstream.answer = Answer(headers=(("Referrer-Policy", "origin"),))
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text)])
    own = {"referrer-policy": "origin"} if proxy.can(Lack.UPSTREAMS_OWN) else {}
    assert _found(answer) == {**_EXPECTED, **own}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_refusals_have_them(proxy: Proxy, keys: Keys, method: str) -> None:
    """400, 401, 403 and 429 of extauth, as well as the 404 of an upstream."""
    asked = {
        400: ("/public/a;b", keys.reader.text),
        401: ("/public/a", "wrong"),
        403: ("/admin", keys.reader.text),
        429: ("/any", keys.spent.text),
    }
    for status, (target, key) in asked.items():
        answer = request(proxy.port, target, method=method, headers=[("X-API-Key", key)])
        assert (answer.status, _found(answer)) == (status, _EXPECTED)
        assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize(("head", "name", "status"), _CASES, ids=_IDS)
def test_what_a_proxy_answers_on_its_own_has_them(
    proxies: dict[str, Proxy], head: str, name: str, status: int
) -> None:
    """Also where it never came as far as a route or a filter; or none of them has, where that can't be."""
    with Connection(proxies[name].port) as connection:
        connection.send_body(head.encode())
        answer = connection.receive()
    lacking = dict.fromkeys(_EXPECTED)
    expected = _EXPECTED if proxies[name].can(Lack.HEADERS_ALONE) else lacking
    assert (answer.status, _found(answer)) == (status, expected)


def test_haproxys_own_refusal_has_them(proxies: dict[str, Proxy]) -> None:
    """Of a request that it has read, which a rule before the check denies."""
    with Connection(proxies["haproxy"].port) as connection:
        connection.send_body(f"OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = connection.receive()
    assert (answer.status, _found(answer)) == (400, _EXPECTED)


def test_an_extauth_that_is_gone_leaves_them(proxy: Proxy, service: Service) -> None:
    """The 503 that the proxy makes of it."""
    service.process.stop()
    try:
        answer = request(proxy.port, "/open/a")
    finally:
        service.process.start()
    assert (answer.status, _found(answer)) == (503, _EXPECTED)
