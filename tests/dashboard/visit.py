"""A whole extauth whose admin listener answers on a socket, and browsers that visit its dashboard."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from extauth.dashboard.server_view import ServerView
from extauth.keys.scopes import ADMIN
from extauth.server.admin import admin_listener
from extauth.server.connections import ConnectionLimits, Connections
from extauth.server.listeners import admin_server
from extauth.telemetry.collector import collector_for
from tests.fakes import FakeClock
from tests.world import World, open_world

API = "/dashboard/api"
ANSWERED_WITHIN = 10.0


class Browser:
    """One browser: it keeps cookies, and says where its requests come from."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.csrf = ""

    @property
    def own_id(self) -> str:
        """The id of the key that it is signed in with."""
        return self.cookie.partition(".")[0]

    async def sign_in(self, key: str) -> dict[str, Any]:
        """Sign in and return what the session may do."""
        answer = await self.ask("POST", "/session", json={"key": key})
        assert answer.status_code == 200, answer.text
        session: dict[str, Any] = answer.json()
        self.csrf = session["csrf"]
        return session

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **asked: Any
    ) -> httpx.Response:
        """Ask below `/dashboard/api`, as the pages do."""
        lines = {"sec-fetch-site": "same-origin", "x-csrf-token": self.csrf, **(headers or {})}
        return await self.client.request(method, f"{API}{path}", headers=lines, **asked)

    async def get(self, path: str) -> Any:
        """Return what a request that works is answered with."""
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def cookie(self) -> str:
        """The value of its one cookie."""
        (value,) = [cookie.value for cookie in self.client.cookies.jar]
        assert value is not None
        return value


class Site:
    """The service, its clock, and its visitors."""

    def __init__(self, world: World, clock: FakeClock, port: int, stack: AsyncExitStack) -> None:
        self.world = world
        self.clock = clock
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._stack = stack

    async def browser(self, **headers: str) -> Browser:
        """Open a browser, which sends these headers each time."""
        client = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=ANSWERED_WITHIN)
        return Browser(await self._stack.enter_async_context(client))

    async def key(self, user_id: str = "alice", *scopes: str, **asked: Any) -> str:
        """Make a key and return its text."""
        return (await self.world.create_key(user_id, scopes=scopes, **asked)).text

    async def consumer(self, user_id: str = "alice", *scopes: str, **asked: Any) -> Browser:
        """Open a browser that is signed in with a new key of that user."""
        browser = await self.browser()
        await browser.sign_in(await self.key(user_id, *scopes, **asked))
        return browser

    async def operator(self, *scopes: str) -> Browser:
        """Open a browser that is signed in as an operator."""
        return await self.consumer("ops", *(scopes or (ADMIN,)))

    def paths(self) -> list[str]:
        """Return the paths of all routes of the dashboard, as they stand in the table."""
        app = self.world.app

        async def nothing() -> None:
            """Gather nothing."""

        server = ServerView(health=app.health, collect=lambda: (), refresh=nothing)
        return [route.path for route in app.dashboard.routes(server) if isinstance(route, Route)]

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines about that event."""
        return [line for line in await self.world.logged() if line["event"] == name]


@asynccontextmanager
async def open_site(folder: Path, **sections: Any) -> AsyncIterator[Site]:
    """Open a service with these settings."""
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(open_world(folder, clock=clock, **sections))
        app, registry = world.app, CollectorRegistry()
        connections = Connections(ConnectionLimits(), now=0)
        registry.register(collector_for(app, connections, world.lines))
        server = admin_server(admin_listener(app, health=app.health, registry=registry), app.settings)
        # Named as what it is, or asyncio would have each answer's end wait for an acknowledgement.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        async def stop() -> None:
            app.dashboard.close()
            server.should_exit = True
            await serving

        stack.push_async_callback(stop)
        while not server.started:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)
        clients = await stack.enter_async_context(AsyncExitStack())
        yield Site(world, clock, listener.getsockname()[1], clients)


def with_site(folder: Path, work: Callable[[Site], Awaitable[None]], **sections: Any) -> None:
    """Open a service and run the work with it."""

    async def run() -> None:
        async with open_site(folder, **sections) as site:
            await work(site)

    asyncio.run(run())


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    """Return the body of a refusal, which must be a problem with that status and code."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()
