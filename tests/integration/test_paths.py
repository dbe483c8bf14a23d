from __future__ import annotations

import pytest

from .client import Connection, request
from .conftest import Keys, Proxy
from .lacks import Lack
from .readings import readings
from .service import Service
from .upstream import Upstream

# Raw request targets that HTTP parsers are known to read differently, beside a few that they all read alike.
_TARGETS = (
    "/admin/../public",
    "/public/../admin",
    "/public/..%2fadmin",
    "/public/..%2Fadmin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public/%2e%2e%2fadmin",
    "/public/.%2e/admin",
    "//admin",
    "//public//a",
    "/admin/.",
    "/./admin",
    "/%61dmin",
    "/admin;x=1",
    "/public/..;/admin",
    "/public/;/../admin",
    "/admin%00",
    "/public/a%00",
    "/ADMIN",
    "/admin?x",
    "/admin%3Fx",
    "/public/a%3fx",
    "/a%252fadmin",
    "/public/%252e%252e/admin",
    "/public\\..\\admin",
    "/public%5c..%5cadmin",
    "/admin#frag",
    "/admin%23frag",
    "/admin%0a",
    "/admin%0d%0aX-Auth-User-Id:%20root",
    "/%",
    "/%zz",
    "/public/%u002e%u002e/admin",
    "/a%2fb",
    "/caf\xc3\xa9",
    "/caf%C3%A9",
    "/%c0%ae%c0%ae/admin",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%ff",
    "/%7Eu",
    "/a|b",
    "/a b",
    "/../admin",
    "/..",
    "/.",
    "admin",
    "",
    "http://other.example/admin",
    "http://other.example/public/a",
    "http://other.example?x",
    "http://other.example",
    "*",
    "/admin",
    "/admin/",
    "/admin/x",
)
_METHODS = ("get", "Get", "TRACE", "CONNECT", "PROPFIND", "GET\tX")
_CLEAR = (
    "/public/a",
    "/public/",
    "/public/a?next=/../admin&x=%2e%2e%2f",
    "/public/users/42:act@x,y+z=1!$&()*",
    "/public/a%20b",
    "/public/caf%C3%A9",
    "/public/...",
    "/public/.a./a.b",
    "/public/ADMIN",
)


def test_the_readings_tell_clear_paths_from_ambiguous_ones() -> None:
    """The yardstick finds the second reading of an ambiguous path, and no second one of a clear path."""
    assert readings("/public/..%2fadmin") >= {"/public/..%2Fadmin", "/admin"}
    assert readings("/public/..;/admin") >= {"/public/..%3B/admin", "/admin"}
    assert readings("/%61dmin") == {"/admin"}
    clear = [target.partition("?")[0] for target in _CLEAR]
    assert [readings(path) for path in clear] == [{path} for path in clear]


@pytest.mark.parametrize("target", _TARGETS)
def test_extauth_decides_on_the_path_that_the_upstream_gets(
    proxy: Proxy, keys: Keys, upstream: Upstream, service: Service, target: str
) -> None:
    """The upstream gets one clear path, the very one decided on, and a key without its scope never /admin."""
    answer = request(proxy.port, target, headers=[("X-API-Key", keys.reader.text)])
    if not upstream.requests:
        assert answer.status in {400, 403, 404, 405}
        return
    (received,) = upstream.requests
    path = received.target.partition("?")[0]
    assert answer.status == 200
    assert readings(path) == {path}
    assert not path.startswith("/admin")
    assert service.decision(received.header("x-request-id"))["path"] == path


@pytest.mark.parametrize("target", _CLEAR)
def test_what_all_parsers_read_alike_passes_unchanged(
    proxy: Proxy, keys: Keys, upstream: Upstream, target: str
) -> None:
    """Strictness costs no ordinary client anything: a target with one reading arrives byte for byte."""
    assert request(proxy.port, target, headers=[("X-API-Key", keys.reader.text)]).status == 200
    assert [received.target for received in upstream.requests] == [target]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/public/../public/a", "/public/a"),
        ("/public/./a", "/public/a"),
        ("/public/%61", "/public/a"),
        ("//public//a", "/public/a"),
    ],
)
def test_envoy_gives_both_parties_the_normal_form(
    proxies: dict[str, Proxy], keys: Keys, upstream: Upstream, target: str, path: str
) -> None:
    """Harmless untidiness is tidied up before the decision, so that careless clients still get through."""
    assert request(proxies["envoy"].port, target, headers=[("X-API-Key", keys.reader.text)]).status == 200
    assert [received.target for received in upstream.requests] == [path]


@pytest.mark.parametrize("target", ["/public/a%2fb", "/public/a%2Fb", "/public/a%5cb"])
def test_envoy_refuses_escaped_slashes_itself(proxies: dict[str, Proxy], target: str) -> None:
    """What is a slash to some and a letter to others doesn't get as far as extauth and its problem bodies."""
    answer = request(proxies["envoy"].port, target)
    assert answer.status == 400
    assert answer.header("content-type") != "application/problem+json"


def test_nginx_keeps_its_way_to_extauth_to_itself(proxies: dict[str, Proxy], keys: Keys) -> None:
    """A client can't try keys on the internal location: there a right one looks like a wrong one."""
    key, wrong = ([("X-API-Key", text)] for text in (keys.reader.text, "wrong"))
    answers = [request(proxies["nginx"].port, "/_extauth", headers=headers) for headers in (key, wrong)]
    assert [answer.status for answer in answers] == [403, 403]
    assert answers[0].body == answers[1].body
    assert [answer.names("x-", "www-") for answer in answers] == [["x-content-type-options"]] * 2


@pytest.mark.parametrize("target", ["http://other.example/hosted/a", "/hosted/a"])
def test_extauth_decides_on_the_host_that_the_upstream_gets(
    proxy: Proxy, upstream: Upstream, target: str
) -> None:
    """An absolute target overrides the Host header (RFC 9112 section 3.2.2), for both of them."""
    answer = request(proxy.port, target)
    hosts = [received.header("host") for received in upstream.requests]
    # The route is open for other.example and asks for a key on every other host.
    allowed = (200, ["other.example"]) if proxy.can(Lack.OTHER_HOST) else (400, [])
    assert (answer.status, hosts) == (allowed if "other" in target else (401, []))


def test_a_client_older_than_the_host_header_is_no_special_case(proxy: Proxy, upstream: Upstream) -> None:
    """HTTP/1.0 without a host: a name stands in, for both parties, or the request is refused."""
    with Connection(proxy.port) as connection:
        connection.send_body(b"GET /open/a HTTP/1.0\r\n\r\n")
        status = connection.receive().status
    hosts = [received.header("host") for received in upstream.requests]
    assert (status, hosts) == ((200, ["localhost"]) if proxy.can(Lack.OLD_HTTP) else (426, []))


@pytest.mark.parametrize("method", _METHODS)
def test_unusual_methods_are_refused(proxy: Proxy, keys: Keys, upstream: Upstream, method: str) -> None:
    """A method that somebody may read as another one, or as an order to a proxy, never gets through."""
    answer = request(proxy.port, "/public/a", method=method, headers=[("X-API-Key", keys.reader.text)])
    # Traefik says 501 of CONNECT.
    assert 400 <= answer.status < 500 or (answer.status, method) == (501, "CONNECT")
    assert upstream.requests == []
