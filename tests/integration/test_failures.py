from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .client import Connection, Response, request
from .conftest import Keys, Proxy
from .processes import wait_until
from .service import Service
from .upstream import Upstream

# The proxies wait 1 s for a check; the rest is for a busy machine.
_CHECK_TIMEOUT = 1.0
_PATIENCE = 3.0
_BACK_WITHIN = 3.0


@pytest.fixture
def stopped(service: Service) -> Iterator[None]:
    """The service, stopped for one test and back at its end."""
    service.process.stop()
    yield
    service.process.start()


@pytest.fixture
def hung(service: Service) -> Iterator[Service]:
    """The service, frozen for one test: its connections stay open and nothing answers."""
    service.process.pause()
    yield service
    service.process.resume()


def _assert_unavailable(answer: Response) -> None:
    assert answer.status == 503
    problem = answer.problem()
    assert problem.pop("request_id")
    assert problem == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The authorization service gave no usable answer. Try again shortly.",
        "code": "authorization_unavailable",
    }
    assert answer.header("retry-after") == "1"
    assert answer.header("cache-control") == "no-store"


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_passes_while_extauth_is_gone(
    proxy: Proxy, keys: Keys, upstream: Upstream, method: str
) -> None:
    """Fail closed: without extauth even a valid key gets 503 with a problem body and Retry-After."""
    headers = [("X-API-Key", keys.reader.text), ("X-Envoy-Auth-Failure-Mode-Allowed", "true")]
    _assert_unavailable(request(proxy.port, "/public/a", method=method, headers=headers))
    _assert_unavailable(request(proxy.port, "/open/a", method=method))
    assert upstream.requests == []


@pytest.mark.usefixtures("stopped")
def test_a_head_is_refused_too_while_extauth_is_gone(proxy: Proxy, upstream: Upstream) -> None:
    """HEAD fails closed as GET does, without a body that would be read as the next answer."""
    with Connection(proxy.port) as connection:
        head = connection.request("/open/a", method="HEAD")
        assert (head.status, head.header("retry-after")) == (503, "1")
        _assert_unavailable(connection.request("/open/a"))
    assert upstream.requests == []


def test_a_hung_extauth_costs_one_second_and_no_more(
    proxy: Proxy, keys: Keys, upstream: Upstream, hung: Service
) -> None:
    """The check's timeout holds, and when extauth goes on the client's same connection passes again."""
    with Connection(proxy.port) as connection:
        began = time.monotonic()
        _assert_unavailable(connection.request("/public/a", headers=[("X-API-Key", keys.reader.text)]))
        assert _CHECK_TIMEOUT * 0.9 <= time.monotonic() - began < _PATIENCE
        assert upstream.requests == []

        hung.process.resume()
        wait_until(
            lambda: connection.request("/public/a", headers=[("X-API-Key", keys.reader.text)]).status == 200,
            within=_BACK_WITHIN,
            what="back to service",
        )


def test_service_returns_with_extauth(proxy: Proxy, keys: Keys, upstream: Upstream, service: Service) -> None:
    """A restart leaves the proxies with dead connections to extauth; the next requests pass nevertheless."""
    headers = [("X-API-Key", keys.reader.text)]
    assert request(proxy.port, "/public/a", headers=headers).status == 200
    assert service.restart(keys.reader) == 200
    statuses = [request(proxy.port, "/public/a", headers=headers).status for _ in range(5)]
    assert statuses == [200] * 5
    assert len(upstream.requests) == 6


def test_a_spent_limit_stays_spent_over_a_restart(proxy: Proxy, keys: Keys, service: Service) -> None:
    """Restarting extauth hands out no fresh allowance: what was counted is refused with 429 again."""
    assert service.restart(keys.spent) == 429
    answer = request(proxy.port, "/any", headers=[("X-API-Key", keys.spent.text)])
    assert answer.status == 429
