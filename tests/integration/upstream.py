"""The sample upstream: an asyncio server in a thread that records requests and answers as told."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import NamedTuple

_HEAD_LIMIT = 1 << 20
# All that proxies held back while extauth was restarted may come at once.
_BACKLOG = 2_048


class Received(NamedTuple):
    """One request as it reached the upstream: header names in lower case, the target byte for byte."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body_length: int

    def all(self, name: str) -> list[str]:
        """Return the values of all lines of that name."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        """Return the value of that name, empty where there is none; two lines are an AssertionError."""
        values = self.all(name)
        assert len(values) < 2, f"{name} stands twice: {values}"
        return values[0] if values else ""


class Answer(NamedTuple):
    """What the upstream says to every request until told otherwise."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"hello from the upstream\n"


class Upstream:
    """The server. `requests` and `connections` grow; `answer` may be replaced at any time."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.answer = Answer()
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._listening: Future[int] = Future()

    def start(self) -> int:
        """Listen on a free port of the loopback interface and return the port."""
        self._thread.start()
        return self._listening.result(5)

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(5)
        self._loop.close()

    def reset(self) -> None:
        """Forget what was received and answer as at the beginning."""
        self.requests.clear()
        self.answer = Answer()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_HEAD_LIMIT, backlog=_BACKLOG)
        self._listening.set_result(server.sockets[0].getsockname()[1])
        await self._ending.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                received = await _read_request(reader)
                self.requests.append(received)
                writer.write(_to_bytes(self.answer, method=received.method))
                await writer.drain()
                if received.version != "HTTP/1.1":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = request_line.partition(" ")
    target, _, version = rest.rpartition(" ")
    headers = tuple(
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    )
    received = Received(method, target, version, headers, 0)
    if received.header("transfer-encoding") == "chunked":
        return received._replace(body_length=await _read_chunks(reader))
    body = await reader.readexactly(int(received.header("content-length") or 0))
    return received._replace(body_length=len(body))


async def _read_chunks(reader: asyncio.StreamReader) -> int:
    total = 0
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
        total += size
    await reader.readuntil(b"\r\n")
    return total


def _to_bytes(answer: Answer, *, method: str) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} From-Upstream",
        *(f"{name}: {value}" for name, value in answer.headers),
        f"Content-Length: {len(answer.body)}",
    ]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if method == "HEAD" else head + answer.body
