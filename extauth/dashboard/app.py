"""The dashboard as a whole: what is answered below `/dashboard/`, and with which headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extauth.admin.access import Gate
from extauth.admin.api import AdminApi
from extauth.admin.counts import AdminCounts
from extauth.admin.endpoint import Endpoint, Services
from extauth.admin.endpoints import ENDPOINTS
from extauth.admin.problems import AdminCode, Problem, ProblemResponse
from extauth.dashboard.access import RENEWAL, Doorkeeper, OwnerGate, SessionGate
from extauth.dashboard.consumer import Consumer
from extauth.dashboard.events import Hub
from extauth.dashboard.operators import Operators
from extauth.dashboard.overview import KeyViews
from extauth.dashboard.pages import STATIC, Pages
from extauth.dashboard.server_view import ServerView
from extauth.dashboard.signing_in import SigningIn
from extauth.dashboard.streams import Streams
from extauth.settings.model import Settings
from extauth.stores.base import KeyStore
from extauth.telemetry.reloads import ReloadCounts

PREFIX = "/dashboard"
_API = f"{PREFIX}/api"
# Everything comes from here, nothing is written into a page, and no other site frames one or learns of it.
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardParts:
    """What the dashboard works with and doesn't own. `counts` are of the requests of the admin API."""

    doorkeeper: Doorkeeper
    store: KeyStore
    reloads: ReloadCounts
    counts: AdminCounts


class Dashboard:
    """Answers below `/dashboard/`; what it shows of the server is known where its routes are asked for."""

    def __init__(self, parts: DashboardParts, services: Services) -> None:
        self.hub = Hub()
        self._parts = parts
        self._pages = Pages()
        self.doorkeeper = parts.doorkeeper
        # Services are held where others can take their place, and nowhere else.
        self._views = KeyViews(services)
        self._apis: list[AdminApi] = []

    def go_by(self, settings: Settings, services: Services) -> None:
        """Go by these from now on."""
        self.doorkeeper.go_by(settings)
        self._views.services = services
        for api in self._apis:
            api.go_by(services=services)

    def close(self) -> None:
        """End all streams: a server that stops waits until all of its answers are out."""
        self.hub.close()

    def routes(self, server: ServerView) -> Sequence[BaseRoute]:
        """Return the routes for the admin listener."""
        door, parts = self.doorkeeper, self._parts
        operators = Operators(
            server=server, views=self._views, store=parts.store, reloads=parts.reloads, doorkeeper=door
        )
        consumer = Consumer(door, self._views)
        by_scope = SessionGate(door)
        own = OwnerGate(door, self._views.services.service)
        return [
            Route(PREFIX, _to_front),
            SigningIn(door, parts.counts).route(f"{_API}/session"),
            Streams(self.hub, door, self._views, operators).route(f"{_API}/events"),
            *self._api(by_scope, ENDPOINTS, f"{_API}/admin"),
            *self._api(by_scope, operators.endpoints(), _API),
            *self._api(own, consumer.endpoints(), f"{_API}/me"),
            Route(f"{STATIC}{{path:path}}", self._pages.static),
            # Which page it is, the shell finds out.
            Route(f"{PREFIX}/{{path:path}}", self._pages.shell),
        ]

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return the application with the headers of each answer below `/dashboard`, refusals and all."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if path != PREFIX and not path.startswith(f"{PREFIX}/"):
                await app(scope, receive, send)
                return
            is_there = self.doorkeeper.settings.dashboard.enabled
            answer = app if is_there else ProblemResponse(Problem(code=AdminCode.NOT_FOUND))
            await answer(scope, receive, _with_headers(scope, send))

        return guarded

    def _api(self, gate: Gate, endpoints: Sequence[Endpoint], prefix: str) -> Sequence[BaseRoute]:
        services, counts = self._views.services, self._parts.counts
        api = AdminApi(gate=gate, services=services, endpoints=endpoints, prefix=prefix, counts=counts)
        self._apis.append(api)
        return api.routes()


async def _to_front(_request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/", status_code=308)


def _with_headers(scope: Scope, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.setdefault("cache-control", "no-store")
            # Whoever rotates the key that they are signed in with has a cookie of another session already.
            if RENEWAL in scope:
                headers.setdefault("set-cookie", scope[RENEWAL])
        await send(message)

    return send_with_headers
