from __future__ import annotations

import base64

import pytest

from .client import Connection, request
from .conftest import Keys, Proxy
from .lacks import Lack
from .service import Service
from .upstream import Upstream

_IDENTITY = ("x-auth-key-id", "x-auth-user-id", "x-auth-scopes", "x-auth-tier")
_FORGED = "forged-by-client"
_FORGERIES = (
    "X-Auth-Key-Id",
    "X-Auth-User-Id",
    "X-Auth-Scopes",
    "X-Auth-Tier",
    "x-auth-user-id",
    "X-Extauth-Client-Ip",
    "X-Extauth-Status",
    "X-Extauth-Body",
    "X-Extauth-Lease",
    "X-Request-Id",
    "X-Envoy-Auth-Failure-Mode-Allowed",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Forwarded",
    "X-Original-Method",
    "X-Original-URI",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
)
_FORGERIES_BY_PREFIX = ("X-Auth-Roles", "X-Extauth-Anything", "X-Envoy-Retry-On", "X-Original-Anything")


@pytest.mark.parametrize("target", ["/public/a", "/open/a"])
@pytest.mark.parametrize("name", _FORGERIES)
def test_a_forged_header_never_reaches_the_upstream(
    proxy: Proxy, keys: Keys, upstream: Upstream, name: str, target: str
) -> None:
    """What only the proxy or extauth may say is removed from a request, on routes without a key too."""
    headers = [("X-API-Key", keys.reader.text)] if target == "/public/a" else []
    answer = request(proxy.port, target, headers=[(name, _FORGED), *headers, (name, _FORGED)])
    assert answer.status == 200
    (received,) = upstream.requests
    assert _FORGED not in str(received.headers)
    user = "reader@example.com" if headers else ""
    assert received.header("x-auth-user-id") == user


@pytest.mark.parametrize("name", _FORGERIES_BY_PREFIX)
def test_whole_families_of_headers_are_removed(proxy: Proxy, upstream: Upstream, name: str) -> None:
    """Names that extauth or Envoy may come to use are closed to clients today, where the proxy can."""
    request(proxy.port, "/open/a", headers=[(name, _FORGED)])
    (received,) = upstream.requests
    assert (_FORGED in str(received.headers)) == (not proxy.can(Lack.FAMILIES))


def test_an_anonymous_request_has_no_identity(proxy: Proxy, upstream: Upstream) -> None:
    """Where nobody was identified the identity headers are absent or empty, never the client's own."""
    request(proxy.port, "/open/a", headers=[(name, _FORGED) for name in _IDENTITY])
    (received,) = upstream.requests
    assert [received.header(name) for name in _IDENTITY] == ["", "", "", ""]


@pytest.mark.parametrize("name", [*_IDENTITY, "x-request-id"])
def test_connection_options_cannot_drop_the_identity(
    proxy: Proxy, keys: Keys, upstream: Upstream, name: str
) -> None:
    """`Connection: X-Auth-User-Id` would make a careless hop drop the header as a hop-by-hop one."""
    headers = [("X-API-Key", keys.reader.text), ("Connection", f"keep-alive, {name}")]
    answer = request(proxy.port, "/public/a", headers=headers)
    (received,) = upstream.requests
    assert answer.status == 200
    assert received.header(name)
    assert name not in received.header("connection")


# What else HTTP lets stand in a name (RFC 9110 section 5.6.2), and frameworks turn into an underscore.
_ALIASES = [f"X-Auth{mark}User-Id" for mark in "!#$%&'*+.^`|~"]


@pytest.mark.parametrize(
    "name", ["X_Auth_User_Id", "X-Auth_User-Id", "X_Extauth_Client_Ip", "X_API_Key", *_ALIASES]
)
def test_underscores_make_no_second_identity(proxy: Proxy, keys: Keys, upstream: Upstream, name: str) -> None:
    """To some frameworks `X_Auth_User_Id` is `X-Auth-User-Id`: it is dropped, or the request refused."""
    answer = request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text), (name, _FORGED)])
    assert answer.status == (400 if "_" in name and not proxy.can(Lack.UNDERSCORES) else 200)
    assert all(_FORGED not in str(received.headers) for received in upstream.requests)


def test_one_request_id_names_the_request_everywhere(
    proxy: Proxy, keys: Keys, upstream: Upstream, service: Service
) -> None:
    """The proxy makes the id; upstream, decision log and problem body all hold the same one."""
    forged = ("X-Request-Id", _FORGED)
    request(proxy.port, "/public/a", headers=[("X-API-Key", keys.reader.text), forged])
    (received,) = upstream.requests
    assert service.decision(received.header("x-request-id"))["path"] == "/public/a"

    refused = request(proxy.port, "/public/b", headers=[forged]).problem()
    assert service.decision(refused["request_id"])["path"] == "/public/b"
    assert refused["request_id"] not in {_FORGED, received.header("x-request-id")}


def test_the_client_address_is_the_peer(
    proxy: Proxy, keys: Keys, upstream: Upstream, service: Service
) -> None:
    """The decision is about the address that the connection comes from, whatever the client claims."""
    claims = [
        (name, "6.6.6.6") for name in ("X-Forwarded-For", "X-Extauth-Client-Ip", "X-Real-IP", "Forwarded")
    ]
    with Connection(proxy.port, source="127.0.0.9") as connection:
        connection.request("/public/a", headers=[("X-API-Key", keys.reader.text), *claims])
    (received,) = upstream.requests
    assert service.decision(received.header("x-request-id"))["client_ip"] == "127.0.0.9"
    assert "6.6.6.6" not in str(received.headers)


@pytest.mark.parametrize("target", ["/public/a", "/open/a", "/optional/a"])
@pytest.mark.parametrize("header", ["X-API-Key: {}", "Authorization: Bearer {}", "Authorization: bearer  {}"])
def test_the_key_never_reaches_the_upstream(
    proxy: Proxy, keys: Keys, upstream: Upstream, header: str, target: str
) -> None:
    """The upstream gets no credential that it could log or use, in whichever header the key stood."""
    name, _, value = header.format(keys.reader.text).partition(": ")
    answer = request(proxy.port, target, headers=[(name, value)])
    assert answer.status == 200
    (received,) = upstream.requests
    assert keys.reader.text not in str(received)
    assert received.all("x-api-key") == received.all("authorization") == []


def test_the_same_key_twice_is_removed_twice(proxy: Proxy, keys: Keys, upstream: Upstream) -> None:
    """A key that stands in both headers passes, and leaves in neither."""
    headers = [("X-API-Key", keys.reader.text), ("Authorization", f"Bearer {keys.reader.text}")]
    answer = request(proxy.port, "/public/a", headers=headers)
    assert answer.status == 200
    assert keys.reader.text not in str(upstream.requests)


def test_other_authorization_schemes_belong_to_the_upstream(
    proxy: Proxy, keys: Keys, upstream: Upstream
) -> None:
    """Basic credentials are the upstream's own business: they pass beside an API key."""
    basic = "Basic " + base64.b64encode(b"user:password").decode()
    headers = [("X-API-Key", keys.reader.text), ("Authorization", basic)]
    answer = request(proxy.port, "/public/a", headers=headers)
    assert answer.status == 200
    (received,) = upstream.requests
    assert received.header("authorization") == basic


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization"])
def test_a_repeated_credential_header_is_no_way_to_pick_an_identity(
    proxy: Proxy, keys: Keys, upstream: Upstream, name: str
) -> None:
    """Two lines of one header are refused, or read as the first alone: the second never adds rights."""
    prefix = "Bearer " if name == "Authorization" else ""
    lines = [(name, prefix + keys.reader.text), (name, prefix + keys.admin.text)]
    answer = request(proxy.port, "/admin", headers=lines)
    assert answer.status in {400, 401, 403}
    assert upstream.requests == []
