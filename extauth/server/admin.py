"""What the admin listener serves: health, metrics, the admin API and the dashboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from extauth.admin.app import admin_app
from extauth.app import App
from extauth.dashboard.server_view import ServerView
from extauth.health import Readiness


async def _nothing() -> None:
    """Gather nothing: this process is the only one."""


def admin_listener(
    app: App,
    *,
    health: Readiness,
    registry: CollectorRegistry,
    refresh: Callable[[], Awaitable[None]] = _nothing,
) -> ASGIApp:
    """Return the application. `refresh` gathers what other processes have counted."""
    server = ServerView(health=health, collect=registry.collect, refresh=refresh)
    return admin_app(
        health=health,
        registry=registry,
        counts=app.counts,
        routes=[*app.admin.routes(), *app.docs.routes(), *app.dashboard.routes(server)],
        before_metrics=refresh,
        around=app.dashboard.around,
        security=lambda: app.settings.headers.security,
    )
