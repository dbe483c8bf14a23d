"""A client that asks as fast as it is answered."""

from __future__ import annotations

import asyncio
import json
from typing import NamedTuple

from .node import HOST


class Answer(NamedTuple):
    """The status of a check, and the limits that refused it."""

    status: int
    violated: tuple[str, ...]


class Client:
    """One connection of a proxy."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._request = f"GET /envoy/v1/x HTTP/1.1\r\nhost: a.example\r\nx-api-key: {key}\r\n\r\n".encode()

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port)

    async def ask(self) -> Answer:
        """Ask once."""
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        violated = json.loads(body).get("violated-policies", ()) if length else ()
        return Answer(int(head[9:12]), tuple(violated))

    def close(self) -> None:
        """Leave."""
        self._writer.close()
