"""Loads the configuration again, and says what came of it: in the log, in metrics, on `/readyz`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from extauth.app import App
from extauth.configured import configure
from extauth.errors import ConfigError
from extauth.reload import Change, change_to, put_in_force
from extauth.server.systemd import Notifier
from extauth.server.watching import ConfigWatch
from extauth.settings.load import config_file, load_from_environment
from extauth.settings.model import Settings
from extauth.telemetry.reloads import ReloadOutcome


async def _to_nobody(_settings: Settings) -> None:
    """Hand nothing on."""


class Reloader:
    """Puts settings in force that have no mistake, and keeps those in force otherwise.

    `hand_on` gets those that are in force now, and returns once others who are to go by them do so. The
    `notifier` tells of the beginning and the end of each reload.
    """

    def __init__(
        self,
        app: App,
        load: Callable[[], Settings],
        *,
        hand_on: Callable[[Settings], Awaitable[None]] = _to_nobody,
        notifier: Notifier | None = None,
    ) -> None:
        self._app = app
        self._load = load
        self._hand_on = hand_on
        self._notifier = notifier or Notifier()
        self._last = app.settings
        self._log = structlog.get_logger("extauth.config")

    async def reload(self) -> None:
        """Load once, and do what is to be done about it. Never raises: the server goes on as it is."""
        self._notifier.reloading()
        try:
            # Reading and compiling take a while where there are many routes: checks go on meanwhile.
            settings = await asyncio.to_thread(self._load)
            unchanged = settings == self._last
            change = change_to(settings, from_old=self._app.settings)
            if change.taken_over:
                put_in_force(self._app, await asyncio.to_thread(configure, change.settings, self._app.parts))
                await self._hand_on(change.settings)
        except ConfigError as error:
            self._refused(error.problems)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the server goes on as it is
            self._log.error("fault", exc_info=fault)
            self._refused([f"a fault of extauth: {type(fault).__name__}"])
        else:
            self._last = settings
            self._accepted(change, unchanged=unchanged)

    def _refused(self, problems: Sequence[str]) -> None:
        self._log.error("config_refused", problems=list(problems))
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes, the first"
        self._tell(
            ReloadOutcome.FAILED, f"what was in force before still is: the new one has {count}: {problems[0]}"
        )

    def _accepted(self, change: Change, *, unchanged: bool) -> None:
        waiting = change.waiting
        if unchanged:
            self._log.info("config_unchanged", needs_restart=list(waiting))
        else:
            log = self._log.warning if waiting else self._log.info
            log("config_reloaded", changed=list(change.taken_over), needs_restart=list(waiting))
        problem = f"waiting for a restart: {', '.join(waiting)}" if waiting else ""
        self._tell(ReloadOutcome.UNCHANGED if unchanged else ReloadOutcome.OK, problem)

    def _tell(self, outcome: ReloadOutcome, problem: str) -> None:
        self._app.reloads.count(outcome)
        self._app.health.report("config", problem)
        self._notifier.ready()


class ConfigSource:
    """Where the settings of this process came from, and what tells when to load them again.

    `option` is the file that the command line named.
    """

    def __init__(self, option: Path | None) -> None:
        self._option = option
        self.watch = ConfigWatch(config_file(option))

    def load(self) -> Settings:
        """Load them as at the start: the same file, the same environment. Raises ConfigError."""
        return load_from_environment(self._option)
