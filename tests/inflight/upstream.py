"""An upstream that counts what is in flight, and that can be asked to behave badly.

| target | answer |
|---|---|
| `/quick` | at once |
| `/slow?ms=M` | after M milliseconds |
| `/stream?ms=M&pieces=N` | N pieces, M milliseconds before each but the first |
| `/reset?ms=M` | none: the connection is reset (RST) after M milliseconds |
| `/broken?ms=M` | the beginning of a body, then reset after M milliseconds |
| `/hang` | none, until the proxy goes away |
| `/socket` | 101, then what is sent comes back |
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from collections import Counter, defaultdict
from urllib.parse import parse_qsl

from tests.waiting import eventually

from .http1 import HOST, answer, headers_of

_RST = struct.pack("ii", 1, 0)
_END = b"\r\n\r\n"
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR
# HAProxy passes only a true handshake: key and answer are those of RFC 6455 section 1.3.
HANDSHAKE = (
    ("Connection", "upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
_SWITCHED = (
    b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
WORD = b"word\n"
# As much as nginx's buffers of an answer hold back.
PIECE = b"piece of an answer\n" * 4_000


class Upstream:
    """The server. `in_flight` and `most` are by the client's name in X-Auth-Key-Id.

    A request is in flight from its head until its answer is written or its connection is closed by the proxy.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.in_flight: defaultdict[str, set[_Connection]] = defaultdict(set)
        self.most: Counter[str] = Counter()
        self.open: set[_Connection] = set()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), HOST, self.port, backlog=4_096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and end all connections."""
        self._server.close()
        for connection in list(self.open):
            connection.abort()
        await eventually(lambda: not self.open)

    def forget(self) -> None:
        """Be as new, but for what is still in flight."""
        self.requests.clear()
        self.most.clear()

    def left(self) -> int:
        """Return how many requests are in flight."""
        return sum(map(len, self.in_flight.values()))

    def begin(self, name: str, connection: _Connection) -> None:
        """Count a request up, and see whether there were never as many.

        A connection that the proxy has closed counts no more, even if this loop notices it only later.
        """
        others = self.in_flight[name]
        others.add(connection)
        if len(others) > self.most[name]:
            others.difference_update([other for other in others if other.is_closed_by_peer()])
            self.most[name] = max(self.most[name], len(others))

    def end(self, name: str, connection: _Connection) -> None:
        """Count a request down; twice is once."""
        self.in_flight[name].discard(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._received = b""
        self._name = ""
        self._task: asyncio.Task[None] | None = None
        self._socket = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._upstream.open.add(self)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), _GONE)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._upstream.open.discard(self)
        self._upstream.end(self._name, self)
        if self._task is not None:
            self._task.cancel()

    def is_closed_by_peer(self) -> bool:
        """Tell whether the other end has closed the connection, whatever the loop has read of it."""
        return self._transport.is_closing() or bool(self._poll.poll(0))

    def abort(self) -> None:
        """End the connection."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._socket:
            self._transport.write(data)
            return
        self._received += data
        head, end, body = self._received.partition(_END)
        if not end:
            return
        request_line, *lines = head.decode("latin-1").split("\r\n")
        headers = headers_of(lines)
        if not self._name:
            self._name = headers.get("x-auth-key-id", "")
            self._upstream.begin(self._name, self)
        if len(body) < int(headers.get("content-length", "0")):
            return
        self._received = b""
        target = request_line.split(" ")[1]
        self._upstream.requests.append((target, headers))
        self._begin(target)

    def _begin(self, target: str) -> None:
        path, _, query = target.partition("?")
        options = dict(parse_qsl(query))
        if path == "/socket":
            self._socket = True
            self._transport.write(_SWITCHED)
        elif path == "/quick":
            self._finish(answer(200, {}, WORD))
        else:
            work = self._work(path, int(options.get("ms", "0")) / 1_000, int(options.get("pieces", "1")))
            self._task = asyncio.ensure_future(work)

    async def _work(self, path: str, seconds: float, pieces: int) -> None:
        if path == "/stream":
            length = len(PIECE) * pieces
            self._transport.write(f"HTTP/1.1 200 x\r\ncontent-length: {length}\r\n\r\n".encode() + PIECE)
            for _ in range(pieces - 2):
                await asyncio.sleep(seconds)
                self._transport.write(PIECE)
            await asyncio.sleep(seconds)
            self._finish(PIECE if pieces > 1 else b"")
        elif path == "/hang":
            await asyncio.Event().wait()
        elif path in {"/reset", "/broken"}:
            if path == "/broken":
                self._transport.write(b"HTTP/1.1 200 x\r\ncontent-length: 99\r\n\r\n" + WORD)
            await asyncio.sleep(seconds)
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            self._transport.abort()
        else:
            await asyncio.sleep(seconds)
            self._finish(answer(200, {}, WORD))

    def _finish(self, last: bytes) -> None:
        self._transport.write(last)
        self._upstream.end(self._name, self)
        self._name = ""
        self._task = None
