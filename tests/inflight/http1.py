"""As much of an HTTP/1.1 server as the other ends of a proxy need in these tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

HOST = "127.0.0.1"


class Request(NamedTuple):
    """One request; header names in lower case. `is_left` tells whether the connection was closed."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    is_left: Callable[[], bool]


Handler = Callable[[Request], Awaitable[bytes]]
"""Returns the whole answer, or nothing to have the connection closed."""


class Listener:
    """A server that can be stopped, with its connections, and started again on the same port."""

    def __init__(self, port: int, handler: Handler) -> None:
        self.port = port
        self.accepted = 0
        self.open = 0
        self.most_open = 0
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port, backlog=1_024)

    async def stop(self) -> None:
        """Listen no more, and end all connections."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while answer := await self._handler(await read_request(reader)):
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request with its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = request_line.partition(" ")
    headers = headers_of(lines)
    body = await read_body(reader, headers)

    def is_left() -> bool:
        return reader.at_eof() or reader.exception() is not None

    return Request(method, rest.rpartition(" ")[0], headers, body, is_left)


def headers_of(lines: list[str]) -> dict[str, str]:
    """Return the headers, names in lower case; lines of the same name are joined."""
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    return headers


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """Read the body that these headers announce."""
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def answer(status: int, headers: dict[str, str], body: bytes = b"", *, head: bool = False) -> bytes:
    """Return the bytes of an answer, without its body where it answers a HEAD."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    start = f"HTTP/1.1 {status} x\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
    return start.encode("latin-1") + (b"" if head else body)
