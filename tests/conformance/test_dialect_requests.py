"""What every dialect reads of a request: target, credential, address and id, and no other dialect's words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from extauth.dialects.base import RequestHead
from extauth.model import Code
from tests.dialects import PROXIES, Spoken


@pytest.fixture(params=list(PROXIES))
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """Give one dialect after the other."""
    return Spoken(request.param)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "get"])
@pytest.mark.parametrize(
    "path", ["/", "/v1/orders/42", "/a//b/../c;d", "/caf\xc3\xa9", "/%2e%2E%2f", "*", ""]
)
def test_the_target_is_read_raw(spoken: Spoken, method: str, path: str) -> None:
    """Method, host and path are what the client sent, up to the first `?`; nothing is decoded."""
    for query in ("", "?", "?a=b?c", "?/../x"):
        request = spoken.read(path + query, method=method, host="API.example.com:8443")
        assert (request.target.method, request.target.path) == (method, path)
        assert request.target.host == "API.example.com:8443"
        assert (request.dialect, request.ambiguous) == (spoken.proxy.name, None)


def test_the_same_target_is_the_same_object(spoken: Spoken) -> None:
    """What follows from it is remembered by identity; another method, host or path is another."""
    first = spoken.read("/a?x").target
    assert spoken.read("/a?y").target is first
    assert spoken.read("/a", method="POST").target is not first
    assert spoken.read("/a", host="other.example").target is not first
    assert spoken.read("/a/").target is not first


KEY, OTHER = "xa_live_AAAAbbbb0001_secret", "xa_live_AAAAbbbb0002_secret"
BEARER, X_API_KEY, BOTH = ("authorization",), ("x-api-key",), ("authorization", "x-api-key")
# What a client sends, the credential that is read (None for none, AMBIGUOUS for two), and where it stood.
AMBIGUOUS = "ambiguous"
CREDENTIALS: list[tuple[dict[str, str], str | None, tuple[str, ...]]] = [
    ({}, None, ()),
    ({"authorization": f"Bearer {KEY}"}, KEY, BEARER),
    ({"authorization": f"bearer {KEY}"}, KEY, BEARER),
    ({"authorization": f"BEARER {KEY}"}, KEY, BEARER),
    ({"authorization": f"BeArEr   {KEY}"}, KEY, BEARER),
    ({"authorization": "Bearer "}, "", BEARER),
    ({"authorization": "Bearer"}, "", BEARER),
    ({"authorization": "Bearer two words"}, "two words", BEARER),
    ({"x_api_key": KEY}, KEY, X_API_KEY),
    ({"x_api_key": ""}, None, ()),
    ({"authorization": ""}, None, ()),
    ({"authorization": "\t"}, None, ()),
    ({"authorization": f"Bearer\t{KEY}"}, KEY, BEARER),
    ({"authorization": f"Bearer {KEY}", "x_api_key": ""}, KEY, BEARER),
    ({"authorization": f"Bearer {KEY}", "x_api_key": KEY}, KEY, BOTH),
    ({"authorization": f"bearer {KEY}", "x_api_key": KEY}, KEY, BOTH),
    ({"authorization": f"Bearer {KEY}", "x_api_key": OTHER}, AMBIGUOUS, BOTH),
    ({"authorization": "Bearer ", "x_api_key": KEY}, AMBIGUOUS, BOTH),
    ({"authorization": f"Bearer {KEY},Bearer {OTHER}"}, AMBIGUOUS, BOTH),
    ({"authorization": f"Bearer {KEY},Bearer {KEY}"}, AMBIGUOUS, BOTH),
    ({"authorization": f"bearer {KEY},{OTHER}"}, AMBIGUOUS, BOTH),
    ({"x_api_key": f"{KEY},{OTHER}"}, AMBIGUOUS, BOTH),
    ({"x_api_key": f"{KEY},{KEY}"}, AMBIGUOUS, BOTH),
    ({"x_api_key": f"{KEY},"}, AMBIGUOUS, BOTH),
    ({"authorization": "Basic dXNlcjpwYXNz"}, None, ()),
    ({"authorization": "Basic dXNlcjpwYXNz", "x_api_key": KEY}, KEY, X_API_KEY),
    ({"authorization": "Digest username=a, realm=b"}, None, ()),
    ({"authorization": f"Basic dXNlcjpwYXNz,Bearer {KEY}"}, AMBIGUOUS, BOTH),
    ({"authorization": f"Bearer {KEY},Basic dXNlcjpwYXNz"}, AMBIGUOUS, BOTH),
    ({"authorization": KEY}, None, ()),
    ({"authorization": f"Bearer{KEY}"}, None, ()),
    ({"authorization": f"Token {KEY}"}, None, ()),
]


@pytest.mark.parametrize(("headers", "credential", "places"), CREDENTIALS)
def test_credentials(
    spoken: Spoken, headers: dict[str, str], credential: str | None, places: tuple[str, ...]
) -> None:
    """One key, in one or both of its places; two in one place are two; other schemes are not ours."""
    request = spoken.read("/", **headers)
    if credential == AMBIGUOUS:
        assert (request.credential, request.ambiguous) == (None, Code.AMBIGUOUS_CREDENTIALS)
    else:
        read = None if request.credential is None else request.credential.decode()
        assert (read, request.ambiguous, request.credential_headers) == (credential, None, places)


QUERIES: list[tuple[str, dict[str, str], str | None]] = [
    (f"/?api_key={KEY}", {}, KEY),
    (f"/?a=b&api_key={KEY}&c", {}, KEY),
    (f"/?api%5Fkey={KEY.replace('_', '%5F')}", {}, KEY),
    (f"/?API_KEY={KEY}", {}, None),
    ("/?apikey=x", {}, None),
    (f"/?api_key={KEY}", {"x_api_key": KEY}, KEY),
    (f"/?api_key={KEY}", {"x_api_key": OTHER}, AMBIGUOUS),
    (f"/?api_key={KEY}", {"authorization": f"Bearer {OTHER}"}, AMBIGUOUS),
    (f"/?api_key={KEY}&api_key={OTHER}", {}, AMBIGUOUS),
    (f"/?api_key={KEY}&api_key={KEY}", {}, KEY),
    ("/?x=1", {"x_api_key": KEY}, KEY),
    (f"/?api_key={KEY}", {"authorization": "Basic dXNlcjpwYXNz"}, KEY),
    (f"/?api_key={KEY}", {"x_api_key": f"{KEY},{KEY}"}, AMBIGUOUS),
    ("/?api_key=%ff%fe", {}, "\ufffd\ufffd"),
]


@pytest.mark.parametrize(("target", "headers", "credential"), QUERIES)
@pytest.mark.parametrize("name", list(PROXIES))
def test_the_query_parameter_where_it_is_switched_on(
    name: str, target: str, headers: dict[str, str], credential: str | None
) -> None:
    """It is one more place for the one key: two different ones are refused."""
    request = Spoken(name, credentials={"query_parameter": True}).read(target, **headers)
    assert request.target.path == "/"
    if credential == AMBIGUOUS:
        assert (request.credential, request.ambiguous) == (None, Code.AMBIGUOUS_CREDENTIALS)
    else:
        assert (request.credential and request.credential.decode(), request.ambiguous) == (credential, None)


@pytest.mark.parametrize(("target", "headers"), [(target, headers) for target, headers, _ in QUERIES])
def test_the_query_parameter_is_off_by_default(spoken: Spoken, target: str, headers: dict[str, str]) -> None:
    """A key in a query leaks into logs: unless an operator asked for it, nobody looks there."""
    with_query, without = (
        spoken.read(target, x_request_id="r", **headers),
        spoken.read("/", x_request_id="r", **headers),
    )
    assert with_query.credential == without.credential
    assert with_query.ambiguous == without.ambiguous


ADDRESSES: list[tuple[int, dict[str, str], str]] = [
    (1, {"x_extauth_client_ip": "192.0.2.7"}, "192.0.2.7"),
    (1, {"x_extauth_client_ip": "192.0.2.7", "x_forwarded_for": "198.51.100.1"}, "192.0.2.7"),
    (1, {"x_extauth_client_ip": "2001:db8::7"}, "2001:db8::7"),
    (1, {"x_forwarded_for": "192.0.2.7"}, "192.0.2.7"),
    (1, {"x_forwarded_for": "6.6.6.6, 192.0.2.7"}, "192.0.2.7"),
    (2, {"x_forwarded_for": "6.6.6.6, 192.0.2.7,10.0.0.1"}, "192.0.2.7"),
    (2, {"x_forwarded_for": "192.0.2.7"}, "192.0.2.7"),
    (3, {"x_forwarded_for": "6.6.6.6,192.0.2.7, 10.0.0.2 , 10.0.0.1"}, "192.0.2.7"),
    (1, {}, ""),
    (2, {}, ""),
]


@pytest.mark.parametrize(("hops", "headers", "address"), ADDRESSES)
@pytest.mark.parametrize("name", list(PROXIES))
def test_the_clients_address(name: str, hops: int, headers: dict[str, str], address: str) -> None:
    """The proxy's word if there is one, else so many entries from the end; before that all is invented."""
    assert Spoken(name, proxy={"trusted_hops": hops}).read("/", **headers).client_ip == address


def test_the_request_id_is_the_proxys(spoken: Spoken) -> None:
    """It names the request everywhere; where the proxy made none or an empty one, a new one is made here."""
    assert spoken.read("/", x_request_id="abc-1").request_id == "abc-1"
    made = [spoken.read("/", **line).request_id for line in ({}, {}, {"x_request_id": ""})]
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request_id) for request_id in made)


# What only other dialects read.
FOREIGN: dict[str, dict[str, str]] = {
    "envoy": {"x_original_method": "DELETE", "x_original_uri": "/admin"},
    "nginx": {"x_envoy_original_path": "/admin"},
    "forward": {"x_original_method": "DELETE", "x_original_uri": "/admin"},
}
_FORWARDED = {
    "x_forwarded_method": "DELETE",
    "x_forwarded_uri": "/admin",
    "x_forwarded_host": "evil.example",
}
FOREIGN["envoy"] |= _FORWARDED
FOREIGN["nginx"] |= _FORWARDED
NOBODYS = {
    "x_http_method_override": "DELETE",
    "x_original_url": "/admin",
    "x_rewrite_url": "/admin",
    "x_original_host": "evil.example",
    "forwarded": "for=6.6.6.6;host=evil.example",
    "x_real_ip": "6.6.6.6",
    "x_auth_key_id": "forged",
    "x_auth_user_id": "root",
    "x_auth_scopes": "*",
    "x_auth_tier": "gold",
    "x_extauth_status": "200",
    "proxy_authorization": f"Bearer {OTHER}",
    "cookie": f"api_key={OTHER}",
}


def test_other_dialects_headers_and_forged_ones_are_not_read(spoken: Spoken) -> None:
    """A client may send them all: not one changes what is decided about."""
    honest: dict[str, Any] = {"x_request_id": "r-1", "x_extauth_client_ip": "192.0.2.7", "x_api_key": KEY}
    forged = {**NOBODYS, **FOREIGN[spoken.proxy.name]}
    plain, attacked = spoken.read("/v1/x", **honest), spoken.read("/v1/x", **honest, **forged)
    assert attacked == plain
    assert attacked.target is plain.target


def test_envoys_check_line_is_the_original_request() -> None:
    """Behind the prefix, untouched: also a path that itself begins with the prefix."""
    envoy = Spoken("envoy")
    for target, path in (
        (b"/envoy/a", "/a"),
        (b"/envoy/envoy/a?x", "/envoy/a"),
        (b"/envoy", ""),
        (b"/envoya", "a"),
    ):
        request = envoy.dialect.parse(RequestHead(b"PUT", target, {b"host": b"h"}))
        assert (request.target.method, request.target.path) == ("PUT", path)


@pytest.mark.parametrize("name", ["nginx", "forward"])
def test_a_check_without_its_headers_names_no_target(name: str) -> None:
    """Such a check, from whatever asked it, has no method and no path that any route could match."""
    head = RequestHead(b"GET", f"/{name}/admin".encode(), {b"host": b"h"})
    request = Spoken(name).dialect.parse(head)
    assert (request.target.method, request.target.path) == ("", "")


def test_the_host_of_a_forwarded_request_is_never_that_of_the_check() -> None:
    """Host names the service there, and would fit a rule that is meant for another host."""
    headers = {b"host": b"admin.example", b"x-forwarded-method": b"GET", b"x-forwarded-uri": b"/a"}
    request = Spoken("forward").dialect.parse(RequestHead(b"GET", b"/forward", headers))
    assert (request.target.path, request.target.host) == ("/a", "")


REPEATED = [
    ("nginx", b"x-original-method"),
    ("nginx", b"x-original-uri"),
    ("forward", b"x-forwarded-method"),
    ("forward", b"x-forwarded-uri"),
    ("forward", b"x-forwarded-host"),
]


@pytest.mark.parametrize(("name", "repeated"), REPEATED)
def test_the_proxys_own_headers_are_refused_twice(name: str, repeated: bytes) -> None:
    """A second line can only be a client's: nobody knows which of the two the proxy sends on."""
    spoken = Spoken(name)
    asked = spoken.proxy.ask(b"GET", b"/a", {b"host": b"h"})
    assert spoken.dialect.parse(asked).ambiguous is None
    request = spoken.dialect.parse(asked._replace(repeated=(b"x-other", repeated)))
    assert request.ambiguous is Code.AMBIGUOUS_PATH
