"""Hears from Redis which waiters of this process are called: one subscription, kept up while it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import cast

from extauth.errors import StoreError
from extauth.stores.redis.faults import told
from extauth.stores.redis.limits.leases import RedisLeases
from extauth.stores.redis.limits.node import Dialling
from extauth.stores.redis.limits.wire import command
from extauth.tasks import end

# How long a connection may take, and until the next is tried.
_DIALLED_WITHIN_SECONDS = 1.0
_AGAIN_AFTER_SECONDS = 0.1
# A connection that is gone without a word is noticed by this.
_ASKED_EVERY_SECONDS = 5.0

OnCall = Callable[[str, str], None]


class CallReader:
    """Cuts messages out of what arrives: arrays of RESP2, of which only the strings matter."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Return the arrays that are whole now. Raises StoreError on an error, ValueError on nonsense."""
        self._rest += data
        while self._rest:
            found = _one(self._rest)
            if found is None:
                return
            words, end = found
            self._rest = self._rest[end:]
            yield words


def _one(data: bytes) -> tuple[list[bytes], int] | None:
    """Return the first reply's strings and where it ends; None where it isn't whole."""
    end = data.find(b"\r\n")
    if end < 0:
        return None
    kind, line, at = data[:1], data[1:end], end + 2
    if kind == b"-":
        raise StoreError(line.decode("utf-8", "replace"))
    if kind != b"*":
        return ([line] if kind == b"+" else []), at
    words = []
    for _ in range(int(line)):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        kind, length, at = data[at : at + 1], data[at + 1 : end], end + 2
        if kind == b"$":
            size = max(int(length), 0)
            if len(data) < at + size + 2:
                return None
            words.append(data[at : at + size])
            at += size + 2
    return words, at


class _Subscription(asyncio.Protocol):
    def __init__(self, on_words: Callable[[list[bytes]], None]) -> None:
        self._reader = CallReader()
        self._on_words = on_words
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        try:
            for words in self._reader.feed(data):
                self._on_words(words)
        except (StoreError, ValueError) as error:
            self._end(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("it closed the connection" if exc is None else told(exc))

    def _end(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
        if self.transport is not None:
            self.transport.abort()


class Calls:
    """Listens on the channel of this process. `on_call` hears the word and the name of a waiter.

    `on_listening` hears that calls are heard from now on: those before it may have been missed.
    """

    def __init__(
        self, dialling: Dialling, process: str, *, on_call: OnCall, on_listening: Callable[[], None]
    ) -> None:
        self._dialling = dialling
        self._channel = f"extauth:calls:{process}"
        self._on_call = on_call
        self._on_listening = on_listening
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Listen from now on; again and again is fine."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            # A Redis that is gone is told of by whoever asks it for limits.
            with contextlib.suppress(OSError, StoreError, TimeoutError):
                await self._listen_once()
            await asyncio.sleep(_AGAIN_AFTER_SECONDS)

    async def _listen_once(self) -> None:
        subscription = _Subscription(self._heard)
        try:
            async with asyncio.timeout(_DIALLED_WITHIN_SECONDS):
                await self._subscribe(subscription)
            while not subscription.lost.done():
                heard = subscription.heard
                assert subscription.transport is not None  # it is connected
                subscription.transport.write(command("PING"))
                await asyncio.wait((subscription.lost,), timeout=_ASKED_EVERY_SECONDS)
                if subscription.heard == heard:
                    return
        finally:
            if subscription.transport is not None:
                subscription.transport.abort()

    async def _subscribe(self, subscription: _Subscription) -> None:
        dialling = self._dialling
        host, port = await dialling.locate()
        await asyncio.get_running_loop().create_connection(
            lambda: subscription, host, port, ssl=dialling.tls, server_hostname=host if dialling.tls else None
        )
        assert subscription.transport is not None  # it is connected
        for words in (*dialling.greeting(), ("SUBSCRIBE", self._channel)):
            subscription.transport.write(command(*words))

    def _heard(self, words: list[bytes]) -> None:
        if words[:1] == [b"subscribe"]:
            self._on_listening()
        elif words[:1] == [b"message"]:
            word, _, name = words[2].decode("ascii", "replace").partition(" ")
            self._on_call(word, name)


def calls_for(leases: RedisLeases, dialling: Dialling, process: str) -> Calls:
    """Return what hears the calls for the waiters of this process."""
    return Calls(dialling, process, on_call=leases.hear, on_listening=leases.call_all)
