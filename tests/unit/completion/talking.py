"""A completion listener in this process, on a real socket, whose time stands still until a test moves it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from extauth.completion.http import CompletionProtocol, Intake
from extauth.completion.inbox import Inbox
from extauth.completion.signals import Counters, Signal
from extauth.completion.sources import Sources
from extauth.server.connections import ConnectionLimits, Connections

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
TOKEN = b"sesame"
PATIENCE = 5.0


class Taken(list[Signal]):
    def take(self, signals: Sequence[Signal]) -> None:
        """Keep them."""
        self.extend(signals)


class Talk:
    """The listener, and what it took."""

    def __init__(self, network: str = "127.0.0.0/8", token: bytes | None = TOKEN) -> None:
        self.taken, self.counters = Taken(), Counters()
        self.connections = Connections(ConnectionLimits(), now=0.0)
        self.intake = Intake(
            inbox=Inbox(self.taken, self.counters),
            connections=self.connections,
            sources=Sources([ipaddress.ip_network(network)]),
            counters=self.counters,
            token=token,
        )
        self.protocols: list[CompletionProtocol] = []
        self.address: tuple[str, int] | str = ""

    def connect(self) -> CompletionProtocol:
        """Make what speaks with a connection."""
        self.protocols.append(CompletionProtocol(self.intake))
        return self.protocols[-1]

    async def call(self) -> Peer:
        """Connect."""
        if isinstance(self.address, str):
            return await asyncio.open_unix_connection(self.address)
        return await asyncio.open_connection(*self.address)


@asynccontextmanager
async def talking(where: str | Path = "127.0.0.1", **settings: object) -> AsyncIterator[Talk]:
    """Listen on a host's address or a unix socket; `settings` are those of `Talk`."""
    talk = Talk(**settings)  # type: ignore[arg-type]  # named as there
    loop = asyncio.get_running_loop()
    if isinstance(where, Path):
        server = await loop.create_unix_server(talk.connect, str(where))
        talk.address = str(where)
    else:
        server = await loop.create_server(talk.connect, where, 0)
        talk.address = server.sockets[0].getsockname()[:2]
    async with server:
        yield talk


async def answer_to(peer: Peer, sent: bytes) -> bytes:
    """Send a request, and return the head of its answer."""
    reader, writer = peer
    writer.write(sent)
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)


async def rest_of(peer: Peer) -> bytes:
    """Return all that comes until the connection ends."""
    return await asyncio.wait_for(peer[0].read(), PATIENCE)


def post(target: str, body: bytes, *lines: str, scheme: str = "Bearer sesame", method: str = "POST") -> bytes:
    """Return a request."""
    head = [f"{method} {target} HTTP/1.1", "host: x", f"authorization: {scheme}", *lines]
    if not any("chunked" in line for line in lines):
        head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


LOGS = "content-type: application/x-protobuf"
CHUNKED = "transfer-encoding: chunked"


def in_chunks(*chunks: bytes, trailer: bytes = b"") -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer + b"\r\n"
