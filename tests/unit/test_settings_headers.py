"""headers.security: what operators may say with every answer, and where extauth says it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extauth.admin.app import admin_app
from extauth.health import Health
from extauth.settings.headers import SECURITY_HEADERS
from extauth.settings.model import Settings
from extauth.telemetry.metrics import CheckCounts


def security(lines: object) -> dict[str, str]:
    """Return what a mapping comes to."""
    return Settings.model_validate({"headers": {"security": lines}}).headers.security


@pytest.mark.parametrize(
    "lines", [{}, SECURITY_HEADERS, {"X-Frame-Options": "DENY", "Permissions-Policy": "()"}]
)
def test_a_mapping_is_taken_as_it_is(lines: dict[str, str]) -> None:
    """It replaces the default, also by nothing."""
    assert security(lines) == lines


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"": "x"}, "not the name of a header"),
        ({"X Frame": "x"}, "not the name of a header"),
        ({"X-A\r\nX-B": "x"}, "not the name of a header"),
        ({"X-A": "x\r\nX-B: y"}, "printable ASCII"),
        ({"X-A": "grün"}, "printable ASCII"),
        ({"X-A": " x"}, "printable ASCII"),
        ({"X-A": ""}, "not empty"),
        ({"X-Auth-Tier": "pro"}, "is set by extauth"),
        ({"x-extauth-status": "200"}, "is set by extauth"),
        ({"Content-Length": "0"}, "is set by extauth"),
        ({"Cache-Control": "public"}, "is set by extauth"),
        ({"X-A": "x", "x-a": "y"}, "twice"),
        ({"X-A": "x" * 1_100}, "1024 bytes"),
    ],
)
def test_what_would_break_an_answer_is_a_mistake(lines: dict[str, str], said: str) -> None:
    """A name or value that HTTP can't carry, a header that has its meaning already, more than fits."""
    with pytest.raises(ValidationError, match=said):
        security(lines)


def ask(path: str, lines: Mapping[str, str]) -> httpx.Response:
    """Ask an admin listener that has these security headers, and a page with one of its own."""

    async def page(_request: Request) -> Response:
        return Response("x", headers={"Content-Security-Policy": "default-src 'self'"})

    app = admin_app(
        health=Health("keys"),
        registry=CollectorRegistry(),
        counts=CheckCounts(["envoy"]),
        routes=[Route("/page", page)],
        security=lambda: lines,
    )

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            return await client.get(path)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/elsewhere", 404)]
)
def test_every_answer_of_the_admin_listener_has_them(path: str, status: int) -> None:
    """Whatever it answers."""
    answer = ask(path, SECURITY_HEADERS)
    assert answer.status_code == status
    assert {name: answer.headers.get_list(name) for name in SECURITY_HEADERS} == {
        name: [value] for name, value in SECURITY_HEADERS.items()
    }


def test_a_page_with_headers_of_its_own_keeps_them() -> None:
    """A page that needs a style sheet says so itself."""
    answer = ask("/page", {"Content-Security-Policy": "default-src 'none'", "X-Own": "y"})
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers["x-own"] == "y"
