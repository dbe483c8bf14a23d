"""Takes the signals of proxies as extauth's completion listener does, and keeps them.

What was sent is read by extauth's own readers: a signal that they can't read is kept as unread, and what is
meant as none as ignored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from extauth.completion.lines import read_json, read_line, signal
from extauth.completion.otlp import read_otlp
from extauth.completion.signals import Reading, Signal, Unread

from .http1 import HOST, Listener, Request, answer


class Arrival(NamedTuple):
    """A signal, and when it came by `time.monotonic`."""

    signal: Signal
    at: float


class Intake(asyncio.DatagramProtocol):
    """HTTP on TCP and datagrams on UDP of the same port. An HTTP answer takes `delay` seconds."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.listener = Listener(port, self._post)
        self.delay = 0.0
        self.arrivals: list[Arrival] = []
        self.unread: list[bytes] = []
        self.ignored: list[bytes] = []
        self.listeners: list[Callable[[Signal], None]] = []

    async def start(self) -> None:
        """Listen."""
        await self.listener.start()
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, self.port))

    async def stop(self) -> None:
        """Listen no more."""
        self._datagrams.close()
        await self.listener.stop()

    def ends(self) -> list[Signal]:
        """Return the signals of requests that ended, in the order of their arrival."""
        return [signal for signal, _ in self.arrivals if not signal.progress]

    def forget(self) -> None:
        """Be as new."""
        self.arrivals.clear()
        self.unread.clear()
        self.ignored.clear()
        self.delay = 0.0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002  # asyncio's signature
        """Read a line of nginx or HAProxy, or an entry of Caddy's log."""
        self._take([read_json(data) if data.startswith(b"{") else read_line(data)], data)

    async def _post(self, request: Request) -> bytes:
        if request.target == "/done":
            assert (request.method, request.body) == ("POST", b"")
            values = request.headers["x-request-id"], request.headers.get("x-extauth-lease")
            self._take([signal(*values)], repr(values).encode())
            await asyncio.sleep(self.delay)
            return b"HTTP/1.1 204 x\r\n\r\n"
        assert (request.method, request.target) == ("POST", "/v1/logs")
        assert request.headers["content-type"] == "application/x-protobuf"
        self._take(read_otlp(request.body), request.body)
        await asyncio.sleep(self.delay)
        return answer(200, {"content-type": "application/x-protobuf"})

    def _take(self, readings: Iterable[Reading], sent: bytes) -> None:
        for reading in readings:
            if isinstance(reading, Signal):
                # What the upstream did is looked at where it is counted: see `mixed`.
                signal = reading._replace(status=0, duration_us=0)
                self.arrivals.append(Arrival(signal, time.monotonic()))
                for tell in self.listeners:
                    tell(signal)
            elif reading is Unread.IGNORED:
                self.ignored.append(sent)
            else:
                self.unread.append(sent)
