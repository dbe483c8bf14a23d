"""What a supervisor and a worker say to each other, over a pair of sockets.

First come the settings, then lines of JSON in both directions; behind one that says so other settings come.
Its end says that the other one has ended, or that the supervisor wants the worker to end: nobody can die
unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

import orjson

from extauth.settings.model import Settings

_LENGTH_BYTES = 4
# Of one line, in bytes. A report of all metrics is some tens of thousands.
_LONGEST_LINE = 4 * 1024 * 1024


class Link:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Speak through this socket."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_LONGEST_LINE))

    def give_settings(self, settings: Settings) -> None:
        """Send the settings, with all secrets: they stand in no argument and no file that others can read."""
        text = pickle.dumps(settings)
        self._writer.write(len(text).to_bytes(_LENGTH_BYTES, "big") + text)

    async def take_settings(self) -> Settings:
        """Return the settings that come next. Raises EOFError where there are none."""
        length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
        settings: Settings = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from the process that started this one
        return settings

    def send(self, **message: Any) -> None:
        """Send a message. One that can't arrive any more is lost."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message) + b"\n")

    async def flush(self) -> None:
        """Wait until the other side has room for more."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Return what the other side sends, until it ends."""
        with contextlib.suppress(OSError):
            while (line := await self._reader.readline()).endswith(b"\n"):
                yield orjson.loads(line)

    def end(self) -> None:
        """Send no more; what the other side still says can be read."""
        with contextlib.suppress(OSError):
            if self._writer.can_write_eof() and not self._writer.is_closing():
                self._writer.write_eof()

    def close(self) -> None:
        """Let go of the socket."""
        self._writer.close()
