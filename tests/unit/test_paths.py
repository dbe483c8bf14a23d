"""The paths that are decided on: each was sent through real proxies, which made different things of some."""

from __future__ import annotations

import pytest

from extauth.model import Target
from extauth.paths import is_unambiguous
from extauth.routes import Access, Route, RouteTable

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# What some proxy, with some configuration, hands to the upstream as another path than it shows to the
# authorization service, or rewrites on the way, or what some upstream reads as another path.
READ_TWO_WAYS = [
    "/admin/../public",
    "/public/../admin",
    "/public/..%2fadmin",
    "/public/%2e%2e/admin",
    "/public/%2e%2e%2fadmin",
    "/public/.%2e/admin",
    "//admin",
    "/admin/.",
    "/./admin",
    "/%61dmin",
    "/admin;x=1",
    "/public/..;/admin",
    "/admin%00",
    "/admin%3Fx",
    "/a%252fadmin",
    "/public\\..\\admin",
    "/public%5c..%5cadmin",
    "/admin#frag",
    "/admin%23frag",
    "/admin%0a",
    "/%",
    "/%zz",
    "/a%2fb",
    "/caf\xc3\xa9",
    "/%c0%ae%c0%ae/admin",
    "/%7Eu",
    "/a|b",
    "/a b",
    "/../admin",
    "admin",
    "http://other.example/admin",
    "http://other.example",
    "*",
    "",
]
READ_ONE_WAY = [
    "/",
    "/ADMIN",
    "/admin",
    "/admin/",
    "/a/b",
    "/caf%C3%A9",
    "/a%20b",
    "/v1/users/42:act@x,y+z=1!$&()*",
    "/.well-known/security.txt",
    "/a../..b/...",
    "/%20.",
    "/[::1]",
]


@pytest.mark.parametrize("path", READ_TWO_WAYS)
def test_a_path_that_two_parties_read_differently_is_refused(path: str) -> None:
    """What a proxy decodes, merges, cuts or rewrites on its way to the upstream is never decided on."""
    assert not is_unambiguous(path)


@pytest.mark.parametrize("path", READ_ONE_WAY)
def test_a_plain_path_passes(path: str) -> None:
    """The rule costs ordinary APIs nothing."""
    assert is_unambiguous(path)


@pytest.mark.parametrize("path", READ_TWO_WAYS)
def test_no_route_is_asked_about_such_a_path(path: str) -> None:
    """The refusal comes before any rule, so that not even a route open to all lets it through."""
    table = RouteTable([], default=Route(name="default", access=Access.NONE), methods=METHODS)
    assert table.find(Target("GET", "api.example.com", path)).access is Access.AMBIGUOUS


@pytest.mark.parametrize("method", ["get", "Get", "CONNECT", "TRACE", "FOO", "", "GET "])
def test_a_method_that_proxies_treat_differently_is_refused(method: str) -> None:
    """Some proxies pass `get` and TRACE on, some refuse them: only configured methods are decided on."""
    table = RouteTable([], default=Route(name="default", access=Access.NONE), methods=METHODS)
    assert table.find(Target(method, "api.example.com", "/")).access is Access.AMBIGUOUS


@pytest.mark.parametrize("method", METHODS)
def test_the_configured_methods_pass(method: str) -> None:
    """Refusing methods is for those that nobody configured."""
    table = RouteTable([], default=Route(name="default", access=Access.NONE), methods=METHODS)
    assert table.find(Target(method, "api.example.com", "/")).access is Access.NONE
