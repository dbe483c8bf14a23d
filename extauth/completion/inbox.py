"""Bodies that were answered already, and are worked off in later turns of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from itertools import islice

from extauth.completion.lines import read_done
from extauth.completion.otlp import read_otlp
from extauth.completion.signals import Counters, Reading, SignalSink, signals_of

# How many readings are worked off before others have their turn.
_AT_ONCE = 512
# How much may wait, in bytes.
_ROOM = 16 * 1024 * 1024


class Inbox:
    """Takes bodies at once, and hands their signals to the sink later."""

    def __init__(self, sink: SignalSink, counters: Counters) -> None:
        self._sink = sink
        self._counters = counters
        self._waiting: deque[tuple[bool, int, Iterator[Reading]]] = deque()
        self._bytes = 0

    def put(self, body: bytes, *, otlp: bool) -> bool:
        """Take a body; False where there is no room for it."""
        if self._bytes + len(body) > _ROOM:
            return False
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        self._bytes += len(body)
        self._waiting.append((otlp, len(body), read_otlp(body) if otlp else read_done(body)))
        return True

    def _work(self) -> None:
        batch = []
        left = _AT_ONCE
        while self._waiting and left > 0:
            otlp, size, readings = self._waiting[0]
            some = list(islice(readings, left))
            if len(some) < left:
                self._waiting.popleft()
                self._bytes -= size
            left -= max(1, len(some))
            signals = signals_of(some, self._counters)
            if otlp:
                self._counters.otlp += len(signals)
            else:
                self._counters.done += len(signals)
            batch += signals
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        if batch:
            self._sink.take(batch)
