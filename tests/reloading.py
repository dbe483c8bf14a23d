"""A world whose settings change while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extauth.configured import configure
from extauth.dialects.base import Answer, RequestHead
from extauth.reload import change_to, put_in_force
from extauth.server.responder import Pending
from extauth.settings.model import Settings
from tests.answers import Reply, reply_of
from tests.world import World, open_world, settings_in

PEPPER = "a pepper that is long enough for the settings"


def settings(**sections: Any) -> Settings:
    """Return settings."""
    return Settings.model_validate(sections)


class Changing:
    """A world whose settings change."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._folder = folder

    def change(self, **sections: Any) -> None:
        """Put other settings in force."""
        app = self.world.app
        new = settings_in(self._folder, **sections)
        change = change_to(new, from_old=app.settings)
        put_in_force(app, configure(change.settings, app.parts))

    def begin(self, key: str, path: str = "/v1/x") -> Pending:
        """Begin a check that has to wait."""
        head = {b"host": b"h", b"x-request-id": b"r", b"x-api-key": key.encode()}
        began = self.world.app.responder.respond(RequestHead(b"GET", b"/envoy" + path.encode(), head))
        assert not isinstance(began, Answer)
        return began

    async def end(self, pending: Pending) -> Reply:
        """End it."""
        return reply_of(await self.world.app.responder.finish(pending))


def changing(folder: Path, scenario: Callable[[Changing], Any], **sections: Any) -> None:
    """Run a scenario in a world."""

    async def run() -> None:
        async with open_world(folder, **sections) as world:
            await scenario(Changing(world, folder))

    asyncio.run(run())
