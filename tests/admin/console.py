"""The admin API of a whole extauth in this process, and a client that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from extauth.admin.app import admin_app
from extauth.keys.scopes import ADMIN
from tests.fakes import FakeClock
from tests.world import World, open_world

ADDRESS = "192.0.2.9"
NEW_KEY = {"user_id": "alice", "name": "laptop"}


class Console:
    """Asks as operators do: with a key that may do everything, unless another is named."""

    def __init__(self, world: World, clock: FakeClock) -> None:
        self.world = world
        self.clock = clock
        self.key = ""
        self.registry = CollectorRegistry()
        self.registry.register(world.app.admin.counts)
        self.answers: list[httpx.Response] = []
        self._app = admin_app(
            health=world.app.health,
            registry=self.registry,
            counts=world.app.counts,
            routes=world.app.admin.routes(),
            security=lambda: world.app.settings.headers.security,
        )

    async def key_with(self, *scopes: str, **asked: Any) -> str:
        """Make a key with these scopes, as the command line does, and return its text."""
        return (await self.world.create_key("ops", scopes=scopes, **asked)).text

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        **asked: Any,
    ) -> httpx.Response:
        """Ask below `/admin/v1`. An empty key means none."""
        key = self.key if key is None else key
        lines = [*(headers.items() if isinstance(headers, dict) else headers or [])]
        if key:
            lines.append(("authorization", f"Bearer {key}"))
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False, client=(ADDRESS, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            answer = await client.request(method, f"/admin/v1{path}", headers=lines, **asked)
        self.answers.append(answer)
        return answer

    async def create(self, **asked: Any) -> Any:
        """Make a key through the API and return its record with the key."""
        answer = await self.ask("POST", "/keys", json={**NEW_KEY, **asked})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines about that event."""
        return [line for line in await self.world.logged() if line["event"] == name]

    def counted(self) -> dict[str, float]:
        """Return how many requests were counted, by outcome, without those that none had."""
        (family,) = self.registry.collect()
        return {
            sample.labels["outcome"]: sample.value
            for sample in family.samples
            if sample.name == "extauth_admin_requests_total" and sample.value
        }


def with_console(folder: Path, work: Callable[[Console], Awaitable[None]], **sections: Any) -> None:
    """Open a console and run the work with it."""

    async def run() -> None:
        clock = FakeClock()
        async with open_world(folder, clock=clock, **sections) as world:
            console = Console(world, clock)
            console.key = await console.key_with(ADMIN)
            await work(console)

    asyncio.run(run())


def problem(answer: httpx.Response, status: int, code: str) -> Any:
    """Return the body of a refusal, which must be a problem with that status and code."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["status"], body["type"]) == (status, f"urn:extauth:problem:{code}")
    return body


def mistakes(answer: httpx.Response, status: int = 422, code: str = "invalid_input") -> dict[str, str]:
    """Return what a refusal says about each field."""
    return {error["field"]: error["detail"] for error in problem(answer, status, code)["errors"]}
