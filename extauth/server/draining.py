"""How the check listener of a process ends, without losing a check.

A proxy may send a check on a kept connection at any moment, also while that is being closed, and such a check
is lost. So nothing is closed that is in use: each answer says that its connection ends, which a busy proxy
hears on all of its connections within a moment, and those that are idle are kept for a while yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import structlog

from extauth.app import App
from extauth.server.accepting import Acceptor
from extauth.server.connections import Connections
from extauth.server.process import stop_on_signal
from extauth.server.systemd import Notifier
from extauth.settings.model import DrainSettings
from extauth.tasks import end
from extauth.throttle.leases import Leases

Result = TypeVar("Result")

# How long answers may take to those that wait for a slot no longer, in seconds.
LAST_SECONDS = 1.0
# How long the last reports, log lines, counts and key uses may take, in seconds.
WRITING_SECONDS = 3.0


class Stop:
    """That the process is to stop: `asked` once, and `hastened` where it was asked again."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hastened = asyncio.Event()

    @classmethod
    def on_signal(cls) -> Stop:
        """Return one that SIGTERM and SIGINT ask."""
        stop = cls()
        stop_on_signal(stop.ask)
        return stop

    def ask(self) -> None:
        """Ask, or hasten whoever was asked before."""
        (self.hastened if self.asked.is_set() else self.asked).set()

    def hasten(self) -> None:
        """Ask, and leave no time."""
        self.asked.set()
        self.hastened.set()

    async def unless_asked(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """Do some work to its end; None where the process is to stop before that, which breaks it off."""
        task, asked = asyncio.create_task(work), asyncio.create_task(self.asked.wait())
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if task.done():
            return task.result()
        await end(task)
        return None

    async def wait(self, seconds: float) -> None:
        """Wait so long, but not for those in a hurry."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.hastened.wait(), seconds)


class Patience(NamedTuple):
    """How long the end may take, in seconds. See `DrainSettings`."""

    delay: float
    linger: float
    timeout: float

    @classmethod
    def of(cls, settings: DrainSettings) -> Patience:
        """Return that of the settings."""
        delay = 0.0 if settings.delay is None else settings.delay.total_seconds()
        return cls(delay, settings.linger.total_seconds(), settings.timeout.total_seconds())

    @property
    def to_drain(self) -> float:
        """How long connections may take to be gone, once no new one is taken."""
        return self.timeout + LAST_SECONDS

    @property
    def whole(self) -> float:
        """How long all of it may take, with what is written at the end."""
        return self.delay + self.to_drain + WRITING_SECONDS


async def until_stopped(stop: Stop, app: App, notifier: Notifier, patience: Patience) -> None:
    """Wait until the process is to stop; then say so to all who look, and give them the time to see it."""
    await stop.asked.wait()
    app.health.stop()
    notifier.stopping()
    structlog.get_logger("extauth").info("stopping", pid=os.getpid())
    await stop.wait(patience.delay)
    app.dashboard.close()


class Drain:
    """Ends the check listener of a process.

    One that is `held` by somebody else outlives this process: whoever connects is answered until the kept
    connections are gone, and waits for the next process from then on.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        connections: Connections,
        leases: Leases,
        patience: Patience,
        *,
        held: bool,
    ) -> None:
        self._acceptor = acceptor
        self._connections = connections
        self._leases = leases
        self._patience = patience
        self._held = held

    async def run(self, stop: Stop) -> None:
        """Take no more connections, and return when none is left."""
        if not self._held:
            await self._close()
        self._connections.drain()
        let_go = asyncio.create_task(self._let_go())
        hurry = asyncio.create_task(stop.hastened.wait())
        await asyncio.wait({let_go, hurry}, return_when=asyncio.FIRST_COMPLETED)
        for task in (let_go, hurry):
            task.cancel()
        await self._close()
        self._leases.refuse_waiting()
        if not await self._connections.are_gone(LAST_SECONDS, idle_go=True):
            self._connections.cut()

    async def _close(self) -> None:
        self._acceptor.close()
        await self._acceptor.settle()

    async def _let_go(self) -> None:
        patience = self._patience
        took = await self._connections.rest(patience.linger, within=patience.timeout)
        await self._close()
        # Those that came meanwhile: a check may be on its way on a connection that was taken a moment ago.
        self._connections.drain()
        took += await self._connections.rest(patience.linger, within=max(patience.timeout - took, 0.0))
        await self._connections.are_gone(max(patience.timeout - took, 0.0), idle_go=True)
