"""Bodies that were answered already, and are worked off in later turns of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice

from extauth.completion.lines import read_done
from extauth.completion.otlp import OtlpReader, read_otlp
from extauth.completion.signals import Counters, Reading, Signal, SignalSink, signals_of

# How many readings are worked off before others have their turn.
_AT_ONCE = 512
# How much may wait, in bytes.
_ROOM = 16 * 1024 * 1024


class Inbox:
    """Takes bodies at once, and hands their signals to the sink later."""

    def __init__(self, sink: SignalSink, counters: Counters) -> None:
        self._sink = sink
        self._counters = counters
        self._otlp = OtlpReader()
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._bytes = 0
        # The rest of a body that was too long for one turn, and whether it is OTLP.
        self._rest: tuple[Iterator[Reading], bool] | None = None
        self._has_its_turn = False

    def put(self, body: bytes, *, otlp: bool) -> bool:
        """Take a body; False where there is no room for it."""
        self._bytes += len(body)
        if self._bytes > _ROOM:
            self._bytes -= len(body)
            return False
        if not self._has_its_turn:
            self._has_its_turn = True
            asyncio.get_running_loop().call_soon(self._work)
        self._waiting.append((body, otlp))
        return True

    def finish(self) -> None:
        """Work off all that was taken: what was answered must not be lost."""
        while self._waiting or self._rest:
            self._work_some()

    def _work(self) -> None:
        self._has_its_turn = False
        self._work_some()
        if self._waiting or self._rest:
            self._has_its_turn = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work_some(self) -> None:
        signals: list[Signal] = []
        left = _AT_ONCE
        while left > 0 and (self._waiting or self._rest):
            left -= self._read_on(left, signals) if self._rest else self._read_next(signals)
        if signals:
            self._sink.take(signals)

    def _read_next(self, signals: list[Signal]) -> int:
        """Turn to the next body, and return how many readings that were."""
        body, otlp = self._waiting.popleft()
        self._bytes -= len(body)
        readings = self._otlp.recall(body) if otlp else None
        if readings is None:
            self._rest = (read_otlp(body) if otlp else read_done(body), otlp)
            return 0
        found = signals_of(readings, self._counters)
        self._counters.otlp += len(found)
        signals += found
        return max(1, len(readings))

    def _read_on(self, most: int, signals: list[Signal]) -> int:
        """Go on with a body, and return how many readings that were, at least one."""
        assert self._rest is not None
        rest, otlp = self._rest
        some = list(islice(rest, most))
        if len(some) < most:
            self._rest = None
        found = signals_of(some, self._counters)
        if otlp:
            self._counters.otlp += len(found)
        else:
            self._counters.done += len(found)
        signals += found
        return max(1, len(some))
