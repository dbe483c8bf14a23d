"""Stands between a client and a real Redis: hears all commands, answers some itself, and cuts connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tests.redis.server import HOST, RedisServer

# Gives the reply to a command in the protocol's own bytes, or None where the real Redis shall answer.
Answer = Callable[[list[str]], bytes | None]


def bulk(text: str) -> bytes:
    """Write text as Redis does."""
    return b"$%d\r\n%s\r\n" % (len(text.encode()), text.encode())


class Proxy:
    """What was heard, on which connection, and what is done about it."""

    def __init__(self, server: RedisServer, answer: Answer) -> None:
        self.port = 0
        self.heard: list[tuple[int, list[str]]] = []
        # Whoever sends one of these gets no answer to it, although Redis does it, and loses the connection.
        self.cut: set[str] = set()
        self.connections = 0
        self._server = server
        self._answer = answer

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://{HOST}:{self.port}"

    def names(self) -> list[str]:
        """Return the names of the commands that were heard."""
        return [command[0] for _, command in self.heard]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        number = self.connections
        to, into = await asyncio.open_connection(HOST, self._server.port)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                raw = await _read(reader)
                command = _words(raw)
                self.heard.append((number, command))
                reply = self._answer(command)
                if reply is None:
                    into.write(raw)
                    reply = await _read(to)
                if command[0] in self.cut:
                    self.cut.discard(command[0])
                    break
                writer.write(reply)
        into.close()
        writer.close()


@asynccontextmanager
async def listening(server: RedisServer, answer: Answer = lambda _: None) -> AsyncIterator[Proxy]:
    """Run a proxy."""
    proxy = Proxy(server, answer)
    listener = await asyncio.start_server(proxy.serve, HOST, 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readuntil(b"\r\n")
    kind, length = line[:1], line[1:-2]
    if kind == b"$" and length != b"-1":
        return line + await reader.readexactly(int(length) + 2)
    if kind == b"*" and length != b"-1":
        return line + b"".join([await _read(reader) for _ in range(int(length))])
    return line


def _words(raw: bytes) -> list[str]:
    # A command is a list of texts, whose bytes can hold line ends: their lengths are followed.
    words, at = [], raw.index(b"\r\n") + 2
    while at < len(raw):
        end = raw.index(b"\r\n", at)
        length = int(raw[at + 1 : end])
        words.append(raw[end + 2 : end + 2 + length].decode())
        at = end + 4 + length
    return words
