"""The protocol class in this process: reads are cut exactly where a test wants them, and time moves by hand.

The transport behaves like uvloop's, down to the errors that it raises; the responder echoes what a
check would have seen.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from extauth.dialects.base import Answer, Dialect, RequestHead
from extauth.model import CheckRequest
from extauth.server.connections import ConnectionLimits, Connections
from extauth.server.familiar import FamiliarHeads, PlainQuestion, Question
from extauth.server.protocol import CheckProtocol
from extauth.server.responder import Pending, Responder

from . import wire

Result = TypeVar("Result")

SLOW = "/envoy/slow"
_WALL_SECONDS = 1_800_000_000.0


class Echo:
    """Answers with the request as a check would see it; below `/envoy/slow` only when it is released."""

    def __init__(self) -> None:
        self.asked: list[RequestHead] = []
        self.waiting: list[asyncio.Future[None]] = []
        self._answers: dict[int, Answer] = {}
        self.familiar = FamiliarHeads(learn_every=sys.maxsize)  # every head is parsed

    def read(self, head: RequestHead) -> Question:
        """Take the head itself for the check."""
        return Question(cast("Dialect", None), cast("CheckRequest", head), head.method)

    def answer(
        self, question: PlainQuestion, done: Callable[[Answer], None] = lambda _answer: None
    ) -> Answer | Pending:
        """Answer, or say that it will take a while."""
        head = cast("RequestHead", question[1])
        self.asked.append(head)
        answer = Answer(200, b"", json.dumps(_echo(head)).encode())
        if not head.target.startswith(SLOW.encode()):
            return answer
        number = len(self._answers)
        self._answers[number] = answer
        return cast("Pending", (number, done))

    def begin(self, pending: Pending) -> None:
        """Answer once released."""
        number, done = cast("tuple[int, Callable[[Answer], None]]", pending)
        released = asyncio.get_running_loop().create_future()
        self.waiting.append(released)
        answer = self._answers[number]
        released.add_done_callback(lambda _: done(answer))

    def abandon(self, pending: Pending | None) -> None:
        """Nothing is held for those who left."""

    async def finish(self, pending: Pending) -> Answer:
        """Do the same for those who await it."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.begin(cast("Pending", (pending[0], answer.set_result)))
        return await answer


def _echo(head: RequestHead) -> dict[str, Any]:
    return {
        "method": head.method.decode("latin-1"),
        "target": head.target.decode("latin-1"),
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers.items()},
        "repeated": sorted({name.decode("latin-1") for name in head.repeated}),
    }


class Transport(asyncio.Transport):
    """Keeps what is written. While `stalled` the peer reads nothing, so output stays in the buffer."""

    def __init__(self, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.written = b""
        self.stalled = False
        self.reading = True
        self.half_closed = False
        self.closing = False
        self.lost = False
        self._protocol = protocol
        self._loop = loop
        self._paused = False
        self._buffered = 0
        self._high = 65_536

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take output, and ask for a pause above the high-water mark."""
        if self.lost:
            raise RuntimeError(
                "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
            )
        if self.half_closed:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.closing:
            return
        self.written += bytes(data)
        if self.stalled:
            self._buffered += len(data)
            if self._buffered > self._high and not self._paused:
                self._paused = True
                self._protocol.pause_writing()

    def drain(self) -> None:
        """Let the peer read everything."""
        self.stalled = False
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._protocol.resume_writing()
        if self.closing:
            self.lose()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the mark above which writing is to pause."""
        assert high is not None
        assert low is None
        self._high = high

    def get_write_buffer_size(self) -> int:
        """Return how much the peer has not read."""
        return self._buffered

    def pause_reading(self) -> None:
        """Deliver nothing for now."""
        self.reading = False

    def resume_reading(self) -> None:
        """Go on delivering."""
        self.reading = True

    def is_closing(self) -> bool:
        """Say whether the end has been asked for."""
        return self.closing

    def write_eof(self) -> None:
        """End the output."""
        self.half_closed = True

    def close(self) -> None:
        """End the connection once the peer has read everything."""
        self.closing = True
        if not self._buffered:
            self._loop.call_soon(self.lose)

    def abort(self) -> None:
        """End the connection at once."""
        self.closing = True
        self._loop.call_soon(self.lose)

    def lose(self) -> None:
        """Let go of the socket."""
        if not self.lost:
            self.lost = self.closing = True
            self._protocol.connection_lost(None)


class Connection:
    """One connection of a listener in this process."""

    def __init__(
        self, listener: Listener, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.transport = Transport(protocol, loop)
        self._listener = listener
        self._protocol = protocol
        self._held_back: list[bytes] = []
        listener.turn(protocol.connection_made, self.transport)

    def send(self, *reads: bytes) -> None:
        """Have each piece read in a turn of its own; what the protocol doesn't want to read yet waits."""
        self._held_back += reads
        while self._held_back and self._wants_more:
            self._listener.turn(self._protocol.data_received, self._held_back.pop(0))

    def receive(self, data: bytes) -> None:
        """Have data read in the middle of a turn; to be called by the event loop."""
        self._protocol.data_received(data)

    def send_and_end(self, data: bytes) -> None:
        """Have data and the end of the peer's output read in one turn."""
        self._listener.turn(self._receive_all, data)

    def answers(self, *methods: str) -> list[wire.Answer]:
        """Return all answers so far, to requests of these methods."""
        return wire.read_answers(self.transport.written, methods)

    def echoes(self) -> list[dict[str, Any]]:
        """Return the requests that were answered with 200, as the check saw them."""
        return [json.loads(answer.body) for answer in self.answers() if answer.status == 200]

    def statuses(self) -> list[int]:
        """Return the statuses of all answers so far."""
        return [answer.status for answer in self.answers()]

    @property
    def ended(self) -> bool:
        """Say whether nothing more will be written."""
        return self.transport.half_closed or self.transport.closing

    @property
    def _wants_more(self) -> bool:
        return self.transport.reading and not self.transport.closing

    def _receive_all(self, data: bytes) -> None:
        self._protocol.data_received(data)
        if not self._protocol.eof_received():
            self.transport.close()


class Listener:
    """A check listener without sockets, whose time stands still until `pass_time`; used as a context manager.

    It answers with an echo until it is given another `responder`. `limits` are those of `ConnectionLimits`.
    An exception that escapes into the event loop fails the test.
    """

    def __init__(self, **limits: Any) -> None:
        self._echo = Echo()
        self.responder = cast("Responder", self._echo)
        self._now = 0.0
        self.connections = Connections(ConnectionLimits(**limits), now=self._now)
        self.connections.sweep(self._now, _WALL_SECONDS)
        self.loop = asyncio.new_event_loop()
        self._entered = AsyncExitStack()
        self._escaped: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self._escaped.append(context))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._entered.aclose())
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.turn()
        self.loop.close()
        assert self._escaped == []

    def connect(self) -> Connection:
        """Open a connection."""
        protocol = CheckProtocol(responder=self.responder, connections=self.connections)
        return Connection(self, protocol, self.loop)

    def turn(self, callback: Callable[..., Any] | None = None, *arguments: Any) -> None:
        """Call something in the event loop, then let everything happen that can happen without waiting."""
        if callback is not None:
            self.loop.call_soon(callback, *arguments)
        self.run(_settled())

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the event loop."""
        return self.loop.run_until_complete(coroutine)

    def enter(self, context: AbstractAsyncContextManager[Result]) -> Result:
        """Enter a context in the event loop, for as long as the listener is there."""
        return self.run(self._entered.enter_async_context(context))

    @property
    def asked(self) -> list[RequestHead]:
        """What the check was asked, on all connections; `headers` may be out of date by now."""
        return self._echo.asked

    def release(self) -> None:
        """Let the answer that has waited longest go."""
        self.turn(self._echo.waiting.pop(0).set_result, None)

    def release_all(self) -> None:
        """Let all answers go in one turn."""
        waiting, self._echo.waiting = self._echo.waiting, []

        def release() -> None:
            for released in waiting:
                released.set_result(None)

        self.turn(release)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a sweep each second as in the running server."""
        until = self._now + seconds
        while self._now < until:
            self._now = min(self._now + 1.0, until)
            self.turn(self.connections.sweep, self._now, _WALL_SECONDS + self._now)

    def stop(self) -> None:
        """Tell all connections that the server is about to stop."""
        self.turn(self.connections.drain)

    def let_idle_go(self) -> bool:
        """Have the idle ones closed, as is done after a while; tell whether none is left."""
        return self.run(self.connections.are_gone(0.0, idle_go=True))


async def _settled() -> None:
    """Wait as long as the event loop has something to do at once, which only its own queue tells."""
    ready = cast("Any", asyncio.get_running_loop())._ready
    await asyncio.sleep(0)
    while ready:  # noqa: ASYNC110 - what is awaited is the loop's own idleness, which sets no event
        await asyncio.sleep(0)
