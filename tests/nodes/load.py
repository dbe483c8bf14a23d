"""Checks at a steady rate, as a proxy asks them: on kept connections, none of them repeated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from tests.inflight.http1 import headers_of

from .fleet import PATIENCE
from .node import HOST

# 200 a second.
EACH_SECONDS = 0.005


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_kept = True

    async def ask(self, head: bytes) -> str:
        """Ask once, and return the status, with a problem's code: whose it is says who failed."""
        self._writer.write(head)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = headers_of(answer.split("\r\n")[1:-2])
        body = await self._reader.readexactly(int(lines["content-length"]))
        self.is_kept = lines.get("connection") != "close"
        code = json.loads(body)["code"] if "problem+json" in lines.get("content-type", "") else ""
        return f"{answer[9:12]} {code}".rstrip()

    @property
    def has_ended(self) -> bool:
        """Tell whether the other side has closed it."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def close(self) -> None:
        """Close it."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Load(threading.Thread):
    """Asks at a steady rate, in a thread of its own, from entering the block to its end.

    `came_of` counts what came of each: statuses, with the codes of problems, and how checks failed.
    """

    def __init__(
        self, port: int, key: str, *, target: str = "/envoy/v1/x", each_seconds: float = EACH_SECONDS
    ) -> None:
        super().__init__()
        self.came_of: Counter[str] = Counter()
        self.longest = 0.0
        self._port = port
        self._each_seconds = each_seconds
        self._head = f"GET {target} HTTP/1.1\r\nhost: a.example\r\nx-api-key: {key}\r\n\r\n".encode()
        self._idle: list[_Connection] = []
        self._ended = threading.Event()

    @property
    def asked(self) -> int:
        """How many have been answered, or failed."""
        return self.came_of.total()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ask no more, and wait for the last answers."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Ask until told to end, and wait for the last answers."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began, asked, asking = loop.time(), 0, set[asyncio.Task[None]]()
        while not self._ended.is_set():
            while asked < (loop.time() - began) / self._each_seconds:
                task = asyncio.create_task(self._ask())
                asking.add(task)
                task.add_done_callback(asking.discard)
                asked += 1
            await asyncio.sleep(EACH_SECONDS)
        await asyncio.gather(*asking)
        for connection in self._idle:
            await connection.close()

    async def _ask(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._take()
                status = await connection.ask(self._head)
        except (OSError, EOFError, TimeoutError) as error:
            self.came_of[repr(error)] += 1
            return
        self.came_of[status] += 1
        self.longest = max(self.longest, time.monotonic() - began)
        if connection.is_kept:
            self._idle.append(connection)
        else:
            await connection.close()

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_ended:
                return connection
            await connection.close()
        return _Connection(*await asyncio.open_connection(HOST, self._port))
