"""One connection to one Redis for scripts: batches go out as they come, and are answered in their order.

Every batch has a deadline. What is late is given up, not forgotten: its reply is still awaited, so that those
that follow find theirs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from ssl import SSLContext
from typing import Protocol, cast

from extauth.errors import StoreError
from extauth.stores.redis.faults import told
from extauth.stores.redis.limits.wire import RedisError, Reply, ReplyReader, bulk, command, script_call

Answered = Callable[[bytes | StoreError], None]


class Words(Protocol):
    """Keys and arguments of a script, ready for the wire, and how many they are."""

    @property
    def keys(self) -> bytes:
        """The keys."""
        ...

    @property
    def number_of_keys(self) -> int:
        """How many there are."""
        ...

    @property
    def arguments(self) -> bytes:
        """The arguments."""
        ...

    @property
    def number_of_arguments(self) -> int:
        """How many there are."""
        ...


class Program:
    """A script's text, and how it is called by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        # That's how Redis names scripts; nothing depends on its strength.
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.by_hash = bulk(b"EVALSHA") + bulk(digest.encode())
        self.whole = bulk(b"EVAL") + bulk(text.encode())


class _Trip:
    """One call under way. `answered` is called once: with the reply, or with why there is none.

    `again` makes the same call for a Redis that doesn't know the script.
    """

    __slots__ = ("again", "answered", "timer")

    def __init__(self, answered: Answered, again: Callable[[], bytes] | None) -> None:
        self.answered: Answered | None = answered
        self.again = again
        self.timer: asyncio.TimerHandle | None = None

    def end(self, result: bytes | StoreError) -> None:
        if self.timer is not None:
            self.timer.cancel()
        answered, self.answered = self.answered, None
        if answered is not None:
            answered(result)


class ScriptLine(asyncio.Protocol):
    """A connection. `on_late` and `on_lost` hear of trouble, `on_reply` of each reply, however late."""

    def __init__(
        self,
        where: str,
        *,
        deadline_seconds: float,
        on_late: Callable[[], None],
        on_reply: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._where = where
        self._deadline = deadline_seconds
        self._on_late = on_late
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._replies = ReplyReader()
        self._trips: deque[_Trip] = deque()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the connection."""
        # uvloop's transports are asyncio's in all but the base class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait that nothing comes any more."""
        self._transport = None
        why = "it closed the connection" if exc is None else told(exc)
        self._fail(why)
        self._on_lost(why)

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them."""
        try:
            for reply in self._replies.feed(data):
                self._hand_over(reply)
        except (StoreError, ValueError, IndexError) as error:
            self._fail(str(error))
            self.abort()
        else:
            self._on_reply()

    def _hand_over(self, reply: Reply) -> None:
        trip = self._trips.popleft()
        if isinstance(reply, RedisError):
            again, trip.again = trip.again, None
            if reply.kind == "NOSCRIPT" and again is not None and trip.answered is not None:
                # Redis started anew, or forgot its scripts. This one did not run.
                self._write(again(), trip)
                return
            trip.end(reply)
        elif isinstance(reply, bytes):
            trip.end(reply)
        else:
            trip.end(b"%d" % (reply or 0))

    def ask(self, answered: Answered, *words: str, patiently: bool = False) -> None:
        """Send a command; `answered` gets its reply as bytes, `patiently` without a deadline."""
        trip = _Trip(answered, None)
        if patiently:
            self._write(command(*words), trip)
        else:
            self._send(command(*words), trip)

    def teach(self, programs: Iterable[Program]) -> None:
        """Have Redis know scripts. Where it doesn't take them, they are sent when they are called."""
        for program in programs:
            self.ask(lambda _reply: None, "SCRIPT", "LOAD", program.text, patiently=True)

    def run(self, program: Program, questions: Sequence[Words], answered: Answered) -> None:
        """Run a script for questions of one slot; `answered` gets its reply."""
        keys, arguments = [], []
        number_of_keys = number_of_arguments = 0
        for question in questions:
            keys.append(question.keys)
            arguments.append(question.arguments)
            number_of_keys += question.number_of_keys
            number_of_arguments += question.number_of_arguments
        counts = (number_of_keys, number_of_arguments)
        call = script_call(program.by_hash, keys, arguments, counts)
        self._send(call, _Trip(answered, lambda: script_call(program.whole, keys, arguments, counts)))

    def _send(self, call: bytes, trip: _Trip) -> None:
        # In two steps: after a standstill of the loop itself the answer may be there and not be seen yet.
        trip.timer = self._loop.call_later(self._deadline / 2, self._half_late, trip)
        self._write(call, trip)

    def _write(self, call: bytes, trip: _Trip) -> None:
        if self._transport is None or self._transport.is_closing():
            # Later: whoever asks is not ready for an answer yet.
            self._loop.call_soon(trip.end, StoreError(f"{self._where}: not connected"))
            return
        self._trips.append(trip)
        self._transport.write(call)

    def _half_late(self, trip: _Trip) -> None:
        trip.timer = self._loop.call_later(self._deadline / 2, self._late, trip)

    def _late(self, trip: _Trip) -> None:
        trip.end(StoreError(f"{self._where}: no answer within {self._deadline * 1000:.0f} ms"))
        self._on_late()

    def _fail(self, why: str) -> None:
        trips, self._trips = self._trips, deque()
        for trip in trips:
            trip.end(StoreError(f"{self._where}: {why}"))

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()


async def heard(ask: Callable[[Answered], None]) -> bytes:
    """Ask something and wait for its reply. Raises StoreError."""
    reply: asyncio.Future[bytes | StoreError] = asyncio.get_running_loop().create_future()

    def answered(result: bytes | StoreError) -> None:
        if not reply.done():
            reply.set_result(result)

    ask(answered)
    result = await reply
    if isinstance(result, StoreError):
        raise result
    return result


async def dial(
    line: ScriptLine, host: str, port: int, *, tls: SSLContext | None, greeting: Sequence[Sequence[str]]
) -> None:
    """Connect the line, say who we are, in a time that the caller bounds. Raises StoreError and OSError."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: line, host, port, ssl=tls, server_hostname=host if tls else None)
    for words in (*greeting, ("PING",)):
        await heard(lambda answered, words=words: line.ask(answered, *words, patiently=True))  # type: ignore[misc]  # bound at once
