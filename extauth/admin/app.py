"""The admin listener.

Health and metrics. It answers nothing that a proxy asks, and never shows a stack trace.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from extauth.health import Health
from extauth.telemetry.metrics import CheckCounts


class ProblemResponse(Response):
    """An RFC 9457 problem."""

    media_type = "application/problem+json"

    def __init__(
        self, status: int, title: str, code: str, detail: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        body = {
            "type": f"urn:extauth:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "code": code,
        }
        super().__init__(orjson.dumps(body), status, {**dict(headers), "cache-control": "no-store"})


def admin_app(*, health: Health, registry: CollectorRegistry, counts: CheckCounts) -> ASGIApp:
    """Return the ASGI application of the admin listener."""
    app = _starlette(health=health, registry=registry, counts=counts)

    async def without_repetition(scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette answers a fault and raises it again for the server to log; `fault` has logged it already.
        with contextlib.suppress(Exception):
            await app(scope, receive, send)

    return without_repetition


def _starlette(*, health: Health, registry: CollectorRegistry, counts: CheckCounts) -> Starlette:

    async def livez(_request: Request) -> Response:
        """The process runs and its event loop turns."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(_request: Request) -> Response:
        """Every part works; a proxy may send checks."""
        status = 200 if health.ready else 503
        parts = {part: problem or "ok" for part, problem in health.parts.items()}
        body = {"status": "ready" if health.ready else "not ready", "parts": parts}
        return Response(orjson.dumps(body), status, media_type="application/json")

    async def metrics(_request: Request) -> Response:
        """All metrics, in Prometheus's text format."""
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def fault(request: Request, error: Exception) -> Response:
        counts.faults["admin"] += 1
        structlog.get_logger("extauth.admin").error("fault", path=request.url.path, exc_info=error)
        return ProblemResponse(
            500, "Internal Server Error", "internal_error", "A fault that nobody foresaw; the log has it."
        )

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        title = error.detail
        return ProblemResponse(error.status_code, title, code, f"{title}.", (error.headers or {}).items())

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)],
        exception_handlers={Exception: fault, HTTPException: refused},
    )
