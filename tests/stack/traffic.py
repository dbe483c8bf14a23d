"""Steady traffic through both proxies, with a count of what was answered."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.integration.client import Connection
from tests.integration.processes import wait_until

_ANSWERED_WITHIN = 60.0


class Caller(NamedTuple):
    """Somebody who asks through one proxy again and again, `rate` times a second where that can be kept."""

    name: str
    port: int
    key: str
    rate: float


class Traffic:
    """What callers were answered: how often which status, and what broke."""

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[int]] = {}
        self.faults: list[str] = []
        self._stopping = threading.Event()

    def wait_for_more(self, count: int) -> None:
        """Wait until every caller has had so many more answers."""
        wanted = {name: statuses.total() + count for name, statuses in self.statuses.items()}
        wait_until(
            lambda: bool(self.faults) or all(self.statuses[name].total() >= wanted[name] for name in wanted),
            within=_ANSWERED_WITHIN,
            what=f"{count} more answers for each caller",
        )

    def call(self, caller: Caller) -> None:
        """Ask until the end; a request that gets no answer is a fault, and there is no second attempt."""
        try:
            while not self._stopping.is_set():
                with Connection(caller.port) as connection:
                    self._call_on(connection, caller)
        except (OSError, AssertionError) as error:
            self.faults.append(f"{caller.name}: {error!r}")

    def _call_on(self, connection: Connection, caller: Caller) -> None:
        """Ask for as long as the proxy keeps the connection."""
        due = time.monotonic()
        kept = True
        while kept and not self._stopping.is_set():
            answer = connection.request("/v1/orders", headers=[("X-API-Key", caller.key)])
            self.statuses[caller.name][answer.status] += 1
            kept = answer.header("connection") != "close"
            # Who is late doesn't catch up: the rate is a ceiling.
            due = max(due + 1 / caller.rate, time.monotonic())
            self._stopping.wait(due - time.monotonic())

    def stop(self) -> None:
        """Let every caller have its last answer."""
        self._stopping.set()


@contextlib.contextmanager
def flowing(callers: Sequence[Caller]) -> Iterator[Traffic]:
    """Have all of them ask, each in a thread of its own."""
    traffic = Traffic()
    traffic.statuses = {caller.name: Counter() for caller in callers}
    threads = [threading.Thread(target=traffic.call, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        for thread in threads:
            thread.join()
