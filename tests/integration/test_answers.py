from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import pytest

from .client import Connection, Headers, Response, request
from .conftest import Keys, Proxy
from .lacks import Lack
from .service import Key, Service
from .upstream import Upstream

_METHODS = ("GET", "HEAD", "POST")
_OF_A_BODY = ("content-length", "content-type")
_LIMITS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy")


class Refusal(NamedTuple):
    """One way to be refused: what the client sends, and what it must get."""

    status: int
    code: str
    target: str
    credentials: Callable[[Keys], Headers]
    challenge: str | None = None
    limited: bool = False


_REFUSALS = {
    "ambiguous path": Refusal(400, "ambiguous_path", "/public/a;b", lambda keys: _key(keys.reader)),
    "two credentials": Refusal(
        400,
        "ambiguous_credentials",
        "/public/a",
        lambda keys: [*_key(keys.reader), ("Authorization", f"Bearer {keys.admin.text}")],
    ),
    "no key": Refusal(401, "missing_key", "/public/a", lambda _: [], 'Bearer realm="extauth"'),
    "wrong key": Refusal(
        401,
        "invalid_key",
        "/public/a",
        lambda keys: [("X-API-Key", f"{keys.reader.text[:-1]}!")],
        'Bearer realm="extauth", error="invalid_token"',
    ),
    "scope missing": Refusal(
        403,
        "insufficient_scope",
        "/admin",
        lambda keys: _key(keys.reader),
        'Bearer realm="extauth", error="insufficient_scope", scope="admin:read"',
    ),
    "rate spent": Refusal(429, "rate_limited", "/any", lambda keys: _key(keys.spent), limited=True),
}


def _key(key: Key) -> list[tuple[str, str]]:
    return [("X-API-Key", key.text)]


@pytest.mark.parametrize("method", _METHODS)
def test_an_allowed_request_reaches_the_upstream_with_its_identity(
    proxy: Proxy, keys: Keys, upstream: Upstream, method: str
) -> None:
    """The upstream learns who calls, the client its limits, and neither sees what is meant for the other."""
    answer = request(proxy.port, "/public/a?b=%20c", method=method, headers=_key(keys.reader))
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else upstream.answer.body)
    assert answer.header("content-length") == str(len(upstream.answer.body))
    assert all(answer.header(name) for name in _LIMITS)
    assert answer.header("retry-after") is None
    assert answer.names("x-auth", "x-extauth", "x-envoy-auth") == []

    (received,) = upstream.requests
    assert (received.method, received.target) == (method, "/public/a?b=%20c")
    identity = {name: received.header(name) for name, _ in received.headers if name.startswith("x-auth-")}
    assert identity == {
        "x-auth-key-id": keys.reader.key_id,
        "x-auth-user-id": "reader@example.com",
        "x-auth-scopes": "public:read",
        "x-auth-tier": "roomy",
    }
    assert not [name for name, _ in received.headers if name.startswith(("x-extauth", "x-original"))]


@pytest.mark.parametrize("refusal", _REFUSALS.values(), ids=_REFUSALS.keys())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_client_gets_the_true_status_and_a_problem_body(
    proxy: Proxy, keys: Keys, upstream: Upstream, refusal: Refusal, method: str
) -> None:
    """Each refusal has its own status, problem body and headers on all proxies; the upstream isn't asked."""
    answer = request(proxy.port, refusal.target, method=method, headers=refusal.credentials(keys))
    problem = answer.problem()
    assert (answer.status, problem["code"]) == (refusal.status, refusal.code)
    assert problem["request_id"]
    assert answer.header("content-length") == str(len(answer.body))
    _assert_headers_fit(answer, refusal)
    assert upstream.requests == []


@pytest.mark.parametrize("refusal", _REFUSALS.values(), ids=_REFUSALS.keys())
def test_a_refused_head_has_the_headers_and_no_body(
    proxy: Proxy, keys: Keys, upstream: Upstream, refusal: Refusal
) -> None:
    """HEAD gets the status and headers of GET and no body that would be read as the next answer."""
    head = request(proxy.port, refusal.target, method="HEAD", headers=refusal.credentials(keys))
    get = request(proxy.port, refusal.target, headers=refusal.credentials(keys))
    assert head.status == get.status == refusal.status
    _assert_headers_fit(head, refusal)
    # They may be left out of an answer to HEAD (RFC 9110 section 9.3.2), but not be wrong.
    told = [get.header(name) if proxy.can(Lack.HEAD_OF_REFUSAL) else None for name in _OF_A_BODY]
    assert [head.header(name) for name in _OF_A_BODY] == told
    assert get.header("content-type") == "application/problem+json"
    assert upstream.requests == []


@pytest.mark.parametrize(
    "refusal", [_REFUSALS["no key"], _REFUSALS["scope missing"], _REFUSALS["rate spent"]]
)
def test_a_refusal_keeps_the_connection(
    proxy: Proxy, keys: Keys, upstream: Upstream, refusal: Refusal
) -> None:
    """A client that was refused goes on with the same connection, whichever methods it mixes."""
    with Connection(proxy.port) as connection:
        for method in ("GET", "HEAD", "POST", "HEAD", "GET"):
            refused = connection.request(refusal.target, method=method, headers=refusal.credentials(keys))
            allowed = connection.request("/public/a", method=method, headers=_key(keys.reader))
            assert (refused.status, allowed.status) == (refusal.status, 200)
    assert len(upstream.requests) == 5


def test_a_plain_403_of_the_route_table_has_no_limits(proxy: Proxy, keys: Keys) -> None:
    """A refusal that counted nothing says nothing about limits, not even empty headers."""
    answer = request(proxy.port, "/admin", headers=_key(keys.reader))
    assert answer.names("x-ratelimit", "ratelimit", "retry-after") == []


def test_overload_is_a_503_that_says_when_to_come_back(
    proxy: Proxy, service: Service, upstream: Upstream
) -> None:
    """First verifications beyond what fits get 503 with a problem body and Retry-After; the others pass."""
    cold = [service.create_key(f"cold-{number}@example.com") for number in range(4)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(proxy.port)) for _ in cold]
        for connection, key in zip(connections, cold, strict=True):
            connection.send("/any", headers=_key(key))
        answers = [connection.receive() for connection in connections]
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} == {200, 503}
    assert len(upstream.requests) == len(answers) - len(refused)
    for answer in refused:
        assert int(answer.header("retry-after") or 0) >= 1
        assert answer.header("cache-control") == "no-store"
        expected = "overloaded" if proxy.can(Lack.OWN_503) else "authorization_unavailable"
        assert answer.problem()["code"] == expected


def _assert_headers_fit(answer: Response, refusal: Refusal) -> None:
    assert answer.header("cache-control") == "no-store"
    assert answer.header("www-authenticate") == refusal.challenge
    assert [name for name in _LIMITS if answer.header(name)] == (list(_LIMITS) if refusal.limited else [])
    assert (int(answer.header("retry-after") or 0) >= 1) == refusal.limited
    assert answer.names("x-auth", "x-extauth", "x-envoy-auth") == []
