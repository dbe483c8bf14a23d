"""Checks that may wait for a slot, on connections whose worker is known, and reports of their end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.inflight.http1 import headers_of
from tests.integration.processes import wait_until
from tests.redis import slots
from tests.redis.server import RedisServer
from tests.waiting import eventually

from .fleet import PATIENCE, Fleet
from .node import HOST, Node


class Told(NamedTuple):
    """What came of a check; status 0 where the connection broke. The lease is empty without one."""

    status: int
    lease: str


class Checks:
    """One connection of a proxy. `worker` is the number of the worker that has it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, worker: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._key = key
        self.worker = worker

    async def ask(self, request_id: str) -> Told:
        """Ask once."""
        lines = f"host: a.example\r\nx-request-id: {request_id}\r\nx-api-key: {self._key}\r\n"
        self._writer.write(f"GET /envoy/v1/x HTTP/1.1\r\n{lines}\r\n".encode())
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines_of = headers_of(head.split("\r\n")[1:-2])
            await self._reader.readexactly(int(lines_of.get("content-length", "0")))
        except (ConnectionError, asyncio.IncompleteReadError):
            return Told(0, "")
        return Told(int(head[9:12]), lines_of.get("x-extauth-lease", ""))

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def connect(fleet: Fleet, key: str) -> Checks:
    """Open a connection, and find out which worker has it."""
    before = fleet.connections_by_worker()
    reader, writer = await asyncio.open_connection(HOST, fleet.check_port)
    await eventually(lambda: sum(fleet.connections_by_worker()) > sum(before), within=PATIENCE)
    after = fleet.connections_by_worker()
    (worker,) = (number for number, count in enumerate(after) if count > before[number])
    return Checks(reader, writer, key, worker)


@asynccontextmanager
async def one_of_each(fleet: Fleet, key: str) -> AsyncIterator[list[Checks]]:
    """Give a connection to each worker, by number, until the block ends."""
    found: dict[int, Checks] = {}
    opened = []
    try:
        while len(found) < fleet.workers:
            checks = await connect(fleet, key)
            opened.append(checks)
            found.setdefault(checks.worker, checks)
        yield [found[number] for number in range(fleet.workers)]
    finally:
        for checks in opened:
            await checks.close()


def report(node: Node, request_id: str, lease: str = "-") -> None:
    """Report the end of a request by a datagram, as nginx does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(f"extauth: rid={request_id} lease={lease}".encode(), (HOST, node.completion_port))


def key_in_use(fleet: Fleet, redis: RedisServer) -> str:
    """Make a key, and use it for the first time, which takes long; nothing is left of that."""
    key = str(fleet.create_key()["key"])
    lease = fleet.ask(key).headers["x-extauth-lease"]
    fleet.close()
    report(fleet, "r-first", lease)
    wait_until(lambda: slots.held(redis) == 0, within=PATIENCE, what="it has ended")
    return key
