"""Clients of a proxy that behave well, badly and very badly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import NamedTuple

from .http1 import HOST, headers_of

_RST = struct.pack("ii", 1, 0)
_LARGEST_HEAD = 1 << 16


class Behaviour(NamedTuple):
    """What a client asks for, and when it has had enough: `after` seconds, or once the answer has begun."""

    name: str
    target: str
    after: float | None = None
    in_answer: bool = False
    by_reset: bool = True


QUICK = Behaviour("quick", "/quick")
SLOW = Behaviour("slow", "/slow?ms=30")
STREAMED = Behaviour("streamed", "/stream?ms=10&pieces=4")
LEFT_AT_ONCE = Behaviour("left at once", "/slow?ms=300", after=0.0)
LEFT_WAITING = Behaviour("left waiting", "/slow?ms=300", after=0.03)
LEFT_IN_ANSWER = Behaviour("left in the answer", "/stream?ms=200&pieces=4", in_answer=True)
TIMED_OUT = Behaviour("timed out", "/hang", after=0.1, by_reset=False)
GIVEN_UP = Behaviour("given up by the proxy", "/hang")
RESET = Behaviour("reset by the upstream", "/reset?ms=10")
BROKEN = Behaviour("broken off by the upstream", "/broken?ms=10")
# Longer than a check may wait for a slot because of signals that are late.
PROBE = Behaviour("probe", "/slow?ms=150")
# How often each is chosen.
WEIGHTS = {
    QUICK: 30,
    SLOW: 20,
    STREAMED: 12,
    LEFT_AT_ONCE: 8,
    LEFT_WAITING: 10,
    LEFT_IN_ANSWER: 6,
    TIMED_OUT: 4,
    GIVEN_UP: 1,
    RESET: 6,
    BROKEN: 3,
}
# What an answer's status is where there was none: the client left, or the connection broke.
NONE = 0


class Reply(NamedTuple):
    """What came; the body of refusals only. `status` is NONE where nothing came, or not all of it."""

    status: int
    body: bytes = b""


class Caller:
    """One client that asks one thing after the other, on one connection for as long as that lasts."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, behaviour: Behaviour) -> Reply:
        """Ask, and leave when that behaviour says so."""
        try:
            await self._send(behaviour.target)
            async with asyncio.timeout(behaviour.after):
                return await self._receive(behaviour)
        except TimeoutError:
            await self._leave(by_reset=behaviour.by_reset)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self._leave(by_reset=False)
        return Reply(NONE)

    async def close(self) -> None:
        """Leave as is proper."""
        await self._leave(by_reset=False)

    async def _send(self, target: str) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port, limit=_LARGEST_HEAD)
        lines = f"GET {target} HTTP/1.1\r\nhost: a.example\r\nx-api-key: {self._key}\r\n\r\n"
        self._writer.write(lines.encode())

    async def _receive(self, behaviour: Behaviour) -> Reply:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        status, headers = int(head[0].split(" ")[1]), headers_of(head[1:])
        if behaviour.in_answer and status == 200:
            raise TimeoutError
        body = await self._body(headers)
        if headers.get("connection") == "close":
            await self._leave(by_reset=False)
        return Reply(status, body if status >= 400 else b"")

    async def _body(self, headers: dict[str, str]) -> bytes:
        assert self._reader is not None
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")
        return body

    async def _leave(self, *, by_reset: bool) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if by_reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            writer.transport.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
