"""What a reload tells, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extauth.errors import ConfigError
from extauth.server.reloading import Reloader
from extauth.settings.model import Settings
from tests.reloading import PEPPER, Changing
from tests.world import World, open_world, settings_in


class Source:
    """What a reload loads: settings, or mistakes."""

    def __init__(self, first: Settings) -> None:
        self.next: Settings | ConfigError | ValueError = first

    def load(self) -> Settings:
        """Load them."""
        if isinstance(self.next, Settings):
            return self.next
        raise self.next


class Telling(Changing):
    """A world that reloads, and what it tells of that."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world, folder)
        self.source = Source(world.app.settings)
        self.handed_on: list[Settings] = []
        self.reloader = Reloader(world.app, self.source.load, hand_on=self._hand_on)

    async def _hand_on(self, settings: Settings) -> None:
        self.handed_on.append(settings)

    async def reload(self, loaded: Settings | ConfigError | ValueError) -> tuple[str, float]:
        """Reload; return what `/readyz` says, and whether it is told as a success."""
        self.source.next = loaded
        await self.reloader.reload()
        assert self.world.app.health.ready
        page = {family.name: family for family in self.world.app.reloads.collect()}
        successful = page["extauth_config_last_reload_successful"].samples[0].value
        return self.world.app.health.page()["parts"]["config"], successful

    def counted(self) -> dict[str, int]:
        """Return the counts by outcome."""
        return {outcome.value: count for outcome, count in self.world.app.reloads.reloads.items()}

    async def events(self, name: str) -> list[dict[str, Any]]:
        """Return log lines."""
        return [line for line in await self.world.logged() if line["event"] == name]


def telling(folder: Path, scenario: Callable[[Telling], Any], **sections: Any) -> None:
    """Run a scenario in a world that reloads."""

    async def run() -> None:
        async with open_world(folder, **sections) as world:
            await scenario(Telling(world, folder))

    asyncio.run(run())


def test_a_mistake_is_told_everywhere_until_it_is_mended(tmp_path: Path) -> None:
    """Refused with every mistake, nothing changed, ready all the time; the next good one clears it."""

    async def scenario(it: Telling) -> None:
        before = it.world.app.settings
        told, successful = await it.reload(ConfigError(["x.yaml:3: a: b", "x.yaml:9: c: d"]))
        assert "2 mistakes, the first: x.yaml:3: a: b" in told
        assert successful == 0
        assert it.world.app.settings is before
        assert it.handed_on == []
        (line,) = await it.events("config_refused")
        assert (line["level"], line["problems"]) == ("error", ["x.yaml:3: a: b", "x.yaml:9: c: d"])
        assert await it.reload(before) == ("ok", 1)
        assert await it.reload(settings_in(tmp_path, default_route="deny")) == ("ok", 1)
        assert it.counted() == {"ok": 1, "failed": 1, "unchanged": 1}
        assert [handed.default_route for handed in it.handed_on] == ["deny"]
        (line,) = await it.events("config_reloaded")
        assert (line["changed"], line["needs_restart"]) == (["default_route"], [])

    telling(tmp_path, scenario)


def test_what_waits_for_a_restart_is_named(tmp_path: Path) -> None:
    """By its fields, while the rest is in force; put back, nothing waits any more."""

    async def scenario(it: Telling) -> None:
        new = settings_in(tmp_path, listen={"check": "127.0.0.1:9100"}, workers=1, default_route="deny")
        told, successful = await it.reload(new)
        assert (told, successful) == ("waiting for a restart: listen.check", 1)
        assert (await it.world.ask("/x")).code == "route_denied"
        told, _ = await it.reload(new)
        assert told == "waiting for a restart: listen.check"
        (line,) = await it.events("config_reloaded")
        assert (line["level"], line["needs_restart"]) == ("warning", ["listen.check"])
        assert (await it.reload(settings_in(tmp_path)))[0] == "ok"

    telling(tmp_path, scenario)


def test_a_fault_in_reloading_is_a_failure_and_no_end(tmp_path: Path) -> None:
    """Whatever is raised: it is logged, the old settings stay, and the next reload works."""

    async def scenario(it: Telling) -> None:
        told, successful = await it.reload(ValueError(PEPPER))
        assert ("a fault of extauth: ValueError" in told, successful) == (True, 0)
        assert PEPPER not in told
        assert (await it.reload(settings_in(tmp_path, default_route="deny")))[0] == "ok"

    telling(tmp_path, scenario)
