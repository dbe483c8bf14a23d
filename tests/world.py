"""A whole extauth in this process, from settings to answers, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from extauth.app import App, open_app
from extauth.clock import Clock
from extauth.dialects.base import Answer, RequestHead
from extauth.keys.asked import Actor, IssuedKey, NewKey
from extauth.management import KeyManagement, open_key_management
from extauth.model import ApiKey
from extauth.settings.model import Settings
from extauth.telemetry.lines import LineWriter
from tests.answers import Reply, reply_of
from tests.fakes import FakeClock
from tests.logs import logging_to

# The cheapest argon2 that the settings allow.
_HASHING = {"memory_kib": 8192, "time_cost": 1, "workers": 1}


def settings_in(folder: Path, **sections: Any) -> Settings:
    """Return settings whose store lies in the folder, with a cheap argon2."""
    keys = {"hashing": _HASHING, **sections.pop("keys", {})}
    store = {"url": f"sqlite:///{folder / 'extauth.db'}"}
    return Settings.model_validate({"store": store, "keys": keys, **sections})


BY = Actor(name="tests", source="here")


class World:
    """An opened app, with a management of its own beside it, as the command line has."""

    def __init__(self, app: App, lines: LineWriter, log: Path, management: KeyManagement) -> None:
        self.app = app
        self.lines = lines
        self.management = management
        self._log = log

    async def create_key(self, user_id: str = "user-1", *, tier: str = "default", **asked: Any) -> IssuedKey:
        """Make a key, as the command line does."""
        new = NewKey(user_id=user_id, name="a key", tier=tier, environment="live", **asked)
        return await self.management.service.create(new, BY)

    async def revoke(self, key: ApiKey) -> None:
        """End a key, as the command line does."""
        await self.management.service.revoke(key.key_id, BY)

    def hold_records(self) -> asyncio.Event:
        """Have all that ask for a key's record wait until the event is set."""
        store, released = self.app.parts.management.store, asyncio.Event()
        get = store.get

        async def get_later(key_id: str) -> ApiKey | None:
            await released.wait()
            return await get(key_id)

        store.get = get_later  # type: ignore[method-assign]  # only held up
        return released

    async def ask(
        self,
        path: str = "/",
        *,
        key: str | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask as Envoy does, and return the answer."""
        fields = {
            "host": "api.example.com",
            "x-request-id": "r-1",
            "x-extauth-client-ip": "192.0.2.7",
            **(headers or {}),
        }
        if key is not None:
            fields["x-api-key"] = key
        lines = {name.encode(): value.encode("latin-1") for name, value in fields.items()}
        answer = self.app.responder.respond(
            RequestHead(method.encode(), b"/envoy" + path.encode("latin-1"), lines)
        )
        if not isinstance(answer, Answer):
            answer = await self.app.responder.finish(answer)
        return reply_of(answer)

    async def logged(self) -> list[dict[str, Any]]:
        """Return all log lines so far."""
        return [json.loads(line) for line in (await self.log_bytes()).splitlines()]

    async def log_bytes(self) -> bytes:
        """Return the log as it is on disk, everything written."""
        # The disk of a machine that runs tests may stand still for seconds.
        await self.lines.flush(within=30)
        return await asyncio.to_thread(self._log.read_bytes)


@asynccontextmanager
async def open_world(
    folder: Path, *, clock: Clock | None = None, trims_audit: bool = True, **sections: Any
) -> AsyncIterator[World]:
    """Open a world with these sections of the settings. `trims_audit` is as for `open_app`."""
    settings = settings_in(folder, **sections)
    clock = clock or FakeClock()
    log = folder / "decisions.log"
    with log.open("ab") as file:
        lines = LineWriter(file.fileno())
        with logging_to(lines, level=settings.log.level):
            try:
                async with (
                    open_app(settings, lines=lines, clock=clock, trims_audit=trims_audit) as app,
                    open_key_management(settings, clock=clock) as management,
                ):
                    yield World(app, lines, log, management)
            finally:
                await lines.close()
