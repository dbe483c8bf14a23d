"""The admin listener: health, metrics, and whatever routes it is given besides.

It answers nothing that a proxy asks, and never shows a stack trace.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extauth.admin.problems import NO_STORE, AdminCode, Problem, ProblemResponse
from extauth.health import Readiness
from extauth.telemetry.metrics import CheckCounts

# The only statuses that Starlette itself refuses with.
_REFUSALS = {404: AdminCode.NOT_FOUND, 405: AdminCode.METHOD_NOT_ALLOWED}


async def _at_once() -> None:
    """Wait for nothing."""


def _alone(app: ASGIApp) -> ASGIApp:
    return app


def _no_headers() -> Mapping[str, str]:
    return {}


def admin_app(
    *,
    health: Readiness,
    registry: CollectorRegistry,
    counts: CheckCounts,
    routes: Sequence[BaseRoute] = (),
    before_metrics: Callable[[], Awaitable[None]] = _at_once,
    around: Callable[[ASGIApp], ASGIApp] = _alone,
    security: Callable[[], Mapping[str, str]] = _no_headers,
) -> ASGIApp:
    """Return the ASGI application of the admin listener, with further routes.

    `before_metrics` is awaited before each page of metrics: it gathers what other processes have counted.
    `around` puts something around all of it.
    `security` are headers of every answer that has none of that name, asked anew for each.
    """
    app = Starlette(
        routes=[*_own_routes(health, registry, before_metrics), *routes],
        exception_handlers={Exception: _fault_handler(counts), HTTPException: _refused},
    )
    # A path with a slash too many is another path, which is not there.
    app.router.redirect_slashes = False
    whole = around(app)

    async def without_repetition(scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette answers a fault and raises it again for the server to log; `fault` has logged it already.
        with contextlib.suppress(Exception):
            await whole(scope, receive, _adding(security(), send))

    return without_repetition


def _adding(lines: Mapping[str, str], send: Send) -> Send:
    """Return what sends an answer with these headers, where it has none of that name."""

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in lines.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with


def _own_routes(
    health: Readiness, registry: CollectorRegistry, before_metrics: Callable[[], Awaitable[None]]
) -> Sequence[BaseRoute]:

    async def livez(_request: Request) -> Response:
        """The process runs and its event loop turns."""
        return Response("ok\n", media_type="text/plain", headers=NO_STORE)

    async def readyz(_request: Request) -> Response:
        """Every part works; a proxy may send checks."""
        status = 200 if health.ready else 503
        body = {"status": "ready" if health.ready else "not ready", **health.page()}
        return Response(orjson.dumps(body), status, media_type="application/json", headers=NO_STORE)

    async def metrics(_request: Request) -> Response:
        """All metrics, in Prometheus's text format."""
        await before_metrics()
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST, **NO_STORE})

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


def _fault_handler(counts: CheckCounts) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def fault(request: Request, error: Exception) -> Response:
        counts.faults["admin"] += 1
        structlog.get_logger("extauth.admin").error("fault", path=request.url.path, exc_info=error)
        return ProblemResponse(Problem(code=AdminCode.INTERNAL_ERROR))

    return fault


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _REFUSALS[error.status_code]
    return ProblemResponse(Problem(code=code, headers={**(error.headers or {})}))
