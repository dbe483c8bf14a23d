"""The admin listener: health, metrics, and problems instead of stack traces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from extauth.admin.app import admin_app
from extauth.health import Health
from extauth.telemetry.metrics import CheckCounts, MetricsCollector
from tests.logs import ListedLines, logging_to


class Admin:
    """The application, and what it shows."""

    def __init__(self, *, routes: Sequence[BaseRoute] = ()) -> None:
        self.health = Health("keys", "limits")
        self.counts = CheckCounts(["envoy"])
        self.registry = CollectorRegistry()
        self.registry.register(MetricsCollector(self.counts, (), ()))
        self.app = admin_app(health=self.health, registry=self.registry, counts=self.counts, routes=routes)

    def ask(self, path: str, *, method: str = "GET") -> httpx.Response:
        """Ask as a client does; a fault in the application is an answer, as it is behind a server."""

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
                return await client.request(method, path)

        return asyncio.run(run())


@pytest.fixture
def lines() -> Iterator[ListedLines]:
    """Give the log lines."""
    taken = ListedLines()
    with logging_to(taken):
        yield taken


def test_livez_answers_while_the_process_runs() -> None:
    """Whatever the parts say: restarting a process doesn't mend a disk."""
    answer = Admin().ask("/livez")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readyz_says_which_part_is_not() -> None:
    """503 until all parts work, each named with what is wrong."""
    admin = Admin()
    admin.health.report("keys")
    answer = admin.ask("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "parts": {"keys": "ok", "limits": "starting"}}
    admin.health.report("limits")
    answer = admin.ask("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "parts": {"keys": "ok", "limits": "ok"}}


def test_metrics_are_in_prometheus_format() -> None:
    """With the type that scrapers look for."""
    answer = Admin().ask("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "\nextauth_checks_total{" in answer.text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_nothing_here_may_be_stored(path: str) -> None:
    """It is true for the moment only."""
    assert Admin().ask(path).headers["cache-control"] == "no-store"


def test_further_routes_are_served_beside() -> None:
    """What else the listener shows is handed in."""

    async def hello(_request: Request) -> Response:
        return Response("hello")

    admin = Admin(routes=[Route("/hello", hello)])
    assert admin.ask("/hello").text == "hello"
    assert admin.ask("/livez").status_code == 200


def problem(answer: httpx.Response) -> Any:
    """Return a problem body."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


@pytest.mark.parametrize(
    "path", ["/", "/admin", "/metrics/", "/livez/x", "/envoy/v1/orders", "/nginx", "/docs", "/openapi.json"]
)
def test_what_is_not_there_is_a_problem(path: str) -> None:
    """Checks least of all: who can reach the metrics can't ask for decisions."""
    answer = Admin().ask(path)
    assert answer.status_code == 404
    assert problem(answer) == {
        "type": "urn:extauth:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found.",
        "code": "not_found",
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_here_can_be_written(method: str) -> None:
    """And the answer says what can be done."""
    answer = Admin().ask("/metrics", method=method)
    assert answer.status_code == 405
    assert problem(answer)["code"] == "method_not_allowed"
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_head_is_answered_without_a_body() -> None:
    """As HTTP wants it."""
    answer = Admin().ask("/livez", method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_fault_is_a_500_problem_logged_whole(lines: ListedLines) -> None:
    """Counted, with the traceback in the log and nothing of it in the answer."""
    admin = Admin()

    class Broken:
        """A collector that fails."""

        def collect(self) -> NoReturn:
            """Fail."""
            raise ZeroDivisionError("planted")

    admin.registry.register(Broken())
    answer = admin.ask("/metrics")
    assert answer.status_code == 500
    assert problem(answer)["code"] == "internal_error"
    assert "planted" not in answer.text
    assert "Traceback" not in answer.text
    (fault,) = lines.events("fault")
    assert (fault["level"], fault["path"]) == ("error", "/metrics")
    assert fault["exception"].endswith("ZeroDivisionError: planted")
    assert admin.counts.faults == {"check": 0, "admin": 1}
