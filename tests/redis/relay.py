"""A wire between a client and a Redis that a test can hold up, cut and mend, at any byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.processes import free_ports
from tests.redis.server import HOST

_AT_ONCE = 65_536


class Relay:
    """Hands bytes on in both directions, until it is told otherwise.

    `port` stays the same whatever happens. `connections` counts those that were accepted.
    """

    def __init__(self, to: int) -> None:
        self.port = free_ports(1)[0]
        self.connections = 0
        self._to = to
        self._listener: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._cut_within_answers = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://{HOST}:{self.port}"

    async def pause(self) -> None:
        """Go on accepting connections and bytes, and deliver none."""
        self._flows.clear()

    async def refuse(self) -> None:
        """Cut all connections and accept no new ones."""
        assert self._listener is not None
        self._listener.close()
        self._listener = None
        self._cut()

    async def reset(self) -> None:
        """Deliver half of each answer that comes from now on, and cut its connection."""
        self._cut_within_answers = True

    async def resume(self) -> None:
        """Be a wire again. What was held up is delivered."""
        self._cut_within_answers = False
        self._flows.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        """End it."""
        if self._listener is not None:
            self._listener.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self) -> None:
        for writer in self._writers:
            _reset(writer)
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._flows.wait()
            back, into = await asyncio.open_connection(HOST, self._to)
            self._writers.add(into)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._hand_on(reader, into, answers=False))
                    group.create_task(self._hand_on(back, writer, answers=True))
            finally:
                self._end(into)
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._end(writer)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        _reset(writer)

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(_AT_ONCE):
            await self._flows.wait()
            if answers and self._cut_within_answers:
                writer.write(data[: len(data) // 2])
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    """Have the kernel send RST, once what was written is on its way."""
    if writer.is_closing():
        return
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@asynccontextmanager
async def relaying(to: int) -> AsyncIterator[Relay]:
    """Run a relay to a port."""
    relay = Relay(to)
    await relay.resume()
    try:
        yield relay
    finally:
        await relay.close()
