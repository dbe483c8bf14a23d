"""All workers of a server: started together, kept running, ended together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from extauth.errors import ConfigError
from extauth.health import Health
from extauth.server.draining import LAST_SECONDS, WRITING_SECONDS, Patience
from extauth.server.slot import Shared, Slot, State
from extauth.settings.model import Settings

# How long a page of metrics waits for reports, in seconds. Of a worker that is slower its last one is shown.
REFRESH_SECONDS = 0.25
# How long they may take to go by new settings before that is told, in seconds.
SETTINGS_SECONDS = 5.0


class Fleet:
    """The workers, each in its slot."""

    def __init__(self, workers: int, shared: Shared) -> None:
        self._shared = shared
        self._settled = asyncio.Event()
        self._slots = [Slot(number, shared, self._settle) for number in range(workers)]
        self._tasks: list[asyncio.Task[None]] = []
        self._killing: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Start all workers, and return when the first one answers checks.

        Raises:
            ConfigError: None of them could start. It holds what the first one said.
        """
        self._tasks = [asyncio.create_task(slot.keep(self._settled)) for slot in self._slots]
        settled = asyncio.create_task(self._settled.wait())
        # A fault in keeping a worker must not be waited for in vain.
        await asyncio.wait({settled, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        if self._shared.stopping.is_set():
            return
        failures = [slot.first_failure for slot in self._slots]
        if all(failures):
            raise ConfigError(failures[0] or [])

    async def run(self) -> None:
        """Keep the workers running until told to stop, and return when all have ended."""
        await asyncio.gather(*self._tasks)

    def stop(self) -> None:
        """Have all workers finish what was asked, and end."""
        self._shared.stopping.set()
        self._shared.listener.close()
        self._shared.completion.listener.close()
        self._settled.set()
        for slot in self._slots:
            slot.stop()
        if self._killing is None:
            self._kill_within(Patience.of(self._shared.settings.listen.drain).to_drain + WRITING_SECONDS)

    def hasten(self) -> None:
        """Have workers that were told to stop answer at once what was asked, or cut it off."""
        for slot in self._slots:
            slot.hasten()
        self._kill_within(LAST_SECONDS + WRITING_SECONDS)

    def _kill_within(self, seconds: float) -> None:
        if self._killing is not None:
            self._killing.cancel()
        self._killing = asyncio.get_running_loop().call_later(seconds, self._kill)

    async def close(self) -> None:
        """End what still runs, whatever came up."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._kill()
        assert self._killing is not None
        self._killing.cancel()

    async def go_by(self, settings: Settings) -> None:
        """Have all workers go by these settings, also those that are started later.

        Returns once all of them do, but doesn't wait for long.
        """
        self._shared.settings = settings
        for slot in self._slots:
            slot.go_by()
        # A worker does what it is told in order: who has reported afterwards goes by them.
        await self.refresh(within=SETTINGS_SECONDS)

    async def refresh(self, within: float = REFRESH_SECONDS) -> None:
        """Get newer reports of all workers that give them soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await asyncio.gather(*(slot.refresh() for slot in self._slots))

    @property
    def conditions(self) -> Mapping[str, str]:
        """Return what is wrong with each worker, nothing where it answers checks."""
        return {str(slot.number): slot.condition for slot in self._slots}

    def about_workers(self) -> Iterator[Metric]:
        """Make the metric families about the workers themselves."""
        ready = sum(not condition for condition in self.conditions.values())
        yield GaugeMetricFamily("extauth_workers_ready", "Workers that answer checks.", value=ready)
        restarts = sum(slot.restarts for slot in self._slots)
        yield CounterMetricFamily(
            "extauth_worker_restarts_total", "Workers that were replaced.", value=restarts
        )
        connections = GaugeMetricFamily(
            "extauth_worker_open_connections", "Open connections by worker.", labels=["worker"]
        )
        for slot in self._slots:
            held = self._shared.totals.value(slot.number, "extauth_open_connections")
            connections.add_metric([str(slot.number)], held)
        yield connections

    def _settle(self) -> None:
        if any(slot.state is State.SERVING for slot in self._slots) or all(
            slot.first_failure for slot in self._slots
        ):
            self._settled.set()

    def _kill(self) -> None:
        for slot in self._slots:
            slot.kill()


class FleetHealth:
    """The readiness of a supervisor: its own parts work, and at least one worker answers checks."""

    def __init__(self, own: Health, fleet: Fleet) -> None:
        self._own = own
        self._fleet = fleet

    @property
    def ready(self) -> bool:
        """Tell whether a proxy may send checks."""
        return self._own.ready and not all(self._fleet.conditions.values())

    def page(self) -> dict[str, Any]:
        """Return parts and workers. See `Readiness`."""
        workers = {number: problem or "ok" for number, problem in self._fleet.conditions.items()}
        return {**self._own.page(), "workers": workers}
