"""HTTP/1.1 of the check listener: an asyncio protocol on httptools.

It answers in the parser's callbacks and spends nothing on ASGI's scopes, tasks and events, which cost more
than a check does. llhttp refuses what smuggles requests (bare LF, obs-fold, two lengths, length with chunks);
this class bounds sizes and times, and keeps the order of answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from extauth.dialects.base import Answer, RequestHead
from extauth.server.connections import SWEEP_EVERY_SECONDS, Connections, has_unread
from extauth.server.familiar import Form, PlainQuestion, Question
from extauth.server.framing import FramedRequest, Framing, FramingError, examine
from extauth.server.heads import HeadCollector
from extauth.server.refusals import Refusal, refuse
from extauth.server.responder import Pending, Responder
from extauth.server.wire import to_bytes

_HEAD_END = b"\r\n\r\n"
# How much unread output makes a client deaf, in bytes: hundreds of pipelined answers.
_HIGH_WATER = 65_536
# How much of one read is parsed before others have their turn, in bytes: hundreds of the smallest requests.
_AT_ONCE = 8_192
# How long a connection that was refused may go on sending before it is cut, in seconds.
_LINGER_SECONDS = 2.0
# A head with more lines than this is looked at closely.
_PLAIN_LINES = 32
_PLAIN = Framing()


class CheckProtocol(HeadCollector, asyncio.Protocol):
    """One connection of a proxy."""

    __slots__ = (
        "_abandon", "_active", "_answer", "_begin", "_between", "_connections", "_deaf_since", "_draining",
        "_due", "_ending", "_form", "_gone_by", "_idle_since", "_learn", "_parser", "_paused", "_pending",
        "_put", "_queue", "_read", "_reads_on", "_refusal", "_rest", "_transport", "_unfinished",
        "_unfinished_since", "_unread", "_waits", "_whole",
    )  # fmt: skip

    def __init__(self, *, responder: Responder, connections: Connections) -> None:
        super().__init__(connections.limits)
        self._read = responder.read
        self._learn = responder.familiar.learn
        self._answer = responder.answer
        self._put = connections.outbox.put
        self._begin = responder.begin
        self._abandon = responder.abandon
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        # The message being read.
        self._between = True  # the parser stands between two heads
        self._whole: bytes | None = None  # the read, where it began between two heads
        self._form: Form | None = None  # of the heads that this proxy sends
        self._unfinished = 0  # bytes of this head in the reads that ended inside it
        self._rest = b""  # of a large read, which is parsed piece by piece
        self._reads_on = False  # its next piece has its place in the loop
        self._paused = False  # nothing is read at the moment
        self._unfinished_since = 0.0
        # The answers that are due.
        self._due = (b"", _PLAIN)  # to which method, and how it is framed
        self._pending: Pending | None = None  # the check that is waited for
        self._waits = False  # what comes now has to wait for its turn
        self._queue: deque[FramedRequest] = deque()
        self._refusal: Refusal | None = None  # to be written after the answers that are due
        self._draining = connections.draining  # its next answer is its last, unless more was asked by then
        self._active = True
        self._idle_since = connections.now
        self._ending = False  # no further request is read
        self._unread = False  # bytes may follow behind the last one
        self._deaf_since: float | None = None
        self._gone_by: float | None = None  # when it is cut, once its end was decided

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection, or refuse it where there is no room."""
        # uvloop's transports are asyncio's in all but the base class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        if not self._connections.add(self):
            self._refuse(Refusal.TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection; a verification under way goes on for those who ask next."""
        self._connections.discard(self)
        self._transport = None
        self._ending = True
        self._queue.clear()
        del self._parser  # it refers back to this: without it both are gone at once
        self._abandon(self._pending)

    def eof_received(self) -> bool:
        """The peer sends no more: a proxy's client left. Answers that are due are written all the same."""
        self._ending = True
        self._abandon(self._pending)
        self._connections.outbox.flush()
        return self._waits

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks answer."""
        if self._ending:
            return
        self._active = True
        if len(data) > _AT_ONCE:
            # Thousands of requests may stand in one read: others are served, and answers written, in between.
            data, self._rest = data[:_AT_ONCE], data[_AT_ONCE:]
            self._pause_reading()
            self._read_on_soon()
        elif self._form is not None and self._between and not self._waits:
            question = self._form.recall(data)
            if question is not None:
                self._reply(question)
                return
        self._parse(data)

    def _read_on_soon(self) -> None:
        if not self._reads_on:
            self._reads_on = True
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        """Go on with a large read, once what came before it needn't be waited for."""
        self._reads_on = False
        if self._ending or self._waits or not self._rest:
            return
        data, self._rest = self._rest[:_AT_ONCE], self._rest[_AT_ONCE:]
        self._parse(data)
        self._go_on()

    def _parse(self, data: bytes) -> None:
        self._whole = data if self._between else None
        self._between = False
        self._feed(data)
        self._whole = None
        if self._draining:
            self._go_on()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # Answered by then like any other check, the end of the connection announced; never a 101.
        except httptools.HttpParserError as error:
            if not self._ending:
                cause = error.__context__
                self._refuse(cause.refusal if isinstance(cause, FramingError) else Refusal.BAD_REQUEST)
            return
        if self._in_head:
            self._bound_unfinished_head(data)
        else:
            self._between = data.endswith(_HEAD_END)

    def pause_writing(self) -> None:
        """The peer doesn't read its answers: stop reading its requests."""
        self._deaf_since = self._connections.now
        self._waits = True
        self._pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._deaf_since = None
        self._go_on()

    def on_headers_complete(self) -> None:
        """Answer, or queue where an earlier request still waits. A body is never waited for."""
        parser = self._parser
        headers = self._headers
        head = tuple.__new__(RequestHead, (parser.get_method(), self._target, headers, self._repeated))
        self._target = b""
        self._headers = {}
        self._in_head = False
        # The plain case: HTTP/1.1 that stays open, one Host, no body, a harmless size, nobody waiting.
        if (
            b"connection" not in headers
            and parser.should_keep_alive()
            and headers.get(b"content-length", b"0") == b"0"
            and b"transfer-encoding" not in headers
            and b"host" in headers
            and len(headers) < _PLAIN_LINES
            and not parser.should_upgrade()
            and not (self._repeated or self._unfinished or self._waits or self._ending or self._draining)
        ):
            question = self._read(head)
            if isinstance(question, Question):
                if self._whole is not None:
                    self._form = self._learn(self._whole, question) or self._form
                self._reply(question)
            else:
                self._write(question, head.method, _PLAIN)
        else:
            self._look_closer(head)

    def _reply(self, question: PlainQuestion, framing: Framing = _PLAIN) -> None:
        answer = self._answer(question, self._answered)
        if isinstance(answer, Answer):
            self._write(answer, question[2], framing)
        else:
            self._waits = True
            self._due = (question[2], framing)
            self._pending = answer
            self._begin(answer)

    def _look_closer(self, head: RequestHead) -> None:
        """Judge a head that is not plain; then answer it, or let it wait for its turn."""
        if self._ending:
            raise FramingError(Refusal.BAD_REQUEST)
        parser = self._parser
        self._repeated = []
        self._unfinished = 0
        framing = examine(
            head,
            self._connections.limits,
            version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive(),
            upgrade=parser.should_upgrade(),
        )
        self._unread = framing.unread
        self._ending = framing.last
        self._queue.append(FramedRequest(head, framing))
        if self._waits:
            # No more than one piece of a read can wait here, so the queue needs no bound of its own.
            self._pause_reading()
        elif not self._draining:  # else once it is clear which request is the last one
            self._go_on()

    def _go_on(self) -> None:
        """Answer what had to wait, in order; then go on reading, or end."""
        self._waits = self._pending is not None or self._deaf_since is not None
        while self._queue and not self._waits:
            head, framing = self._queue.popleft()
            question = self._read(head)
            if isinstance(question, Question):
                self._reply(question, framing)
            else:
                self._write(question, head.method, framing)
        if self._queue or self._waits or self._transport is None or self._gone_by is not None:
            return
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            self._write(refuse(refusal), b"", Framing(last=True))
            self._end(linger=True)
        elif self._ending:
            self._end()
        elif self._rest:
            self._read_on_soon()
        else:
            self._paused = False
            self._transport.resume_reading()

    def _answered(self, answer: Answer) -> None:
        self._pending = None
        self._write(answer, self._due[0], self._due[1])
        if self._queue or self._paused or self._ending or self._deaf_since is not None:
            self._go_on()
        else:
            self._waits = False  # the commonest case: nothing came meanwhile

    def _pause_reading(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def _write(self, answer: Answer, method: bytes, framing: Framing) -> None:
        if self._draining and not (self._queue or self._rest or self._in_head or self._refusal):
            framing = framing._replace(last=True)
            self._ending = True
        if self._transport is not None:
            self._put(self._transport, to_bytes(answer, method, framing, self._connections.date_line))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what is no check, and end the connection: nobody knows where the next request begins."""
        self._connections.refused[refusal] += 1
        self._ending = True
        self._parser = httptools.HttpRequestParser(self)  # what was read of it may be large
        self._begin_head()
        self._rest = b""
        self._refusal = refusal
        self._go_on()

    def _end(self, *, linger: bool = False) -> None:
        """Close once the output is written.

        A peer that may still send is listened to for a moment: closing with unread input resets the
        connection, and it might never see its answer (RFC 9112 section 9.6).
        """
        self._ending = True
        self._connections.outbox.flush()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        now = self._connections.now
        if linger or self._unread:
            self._gone_by = now + _LINGER_SECONDS
            transport.write_eof()
            transport.resume_reading()
        else:
            # A peer that doesn't read its last answers has as long for them as for a head.
            self._gone_by = now + self._connections.limits.head_seconds
            transport.close()

    def _bound_unfinished_head(self, data: bytes) -> None:
        """A read ended inside a head: bound how much of it may come, and note since when it comes."""
        if not self._unfinished:
            self._unfinished_since = self._connections.now
        # Other heads may stand before it in this read; nothing but heads can.
        before = data.rfind(_HEAD_END)
        self._unfinished += len(data) if before < 0 else len(data) - before - len(_HEAD_END)
        if self._unfinished > self._connections.limits.head_bytes:
            self._refuse(Refusal.HEAD_TOO_LARGE)

    def expire(self, now: float) -> None:
        """End the connection if it has been idle, slow or deaf for too long. Called by the sweep."""
        limits = self._connections.limits
        if self._gone_by is not None or self._deaf_since is not None:
            if now > (self._gone_by or (self._deaf_since or 0.0) + limits.head_seconds):
                self.abort()
        elif self._pending is not None:
            return
        elif self._in_head:
            # The time it began is coarse: it may be as much too early as two sweeps are apart.
            if now - self._unfinished_since > limits.head_seconds + SWEEP_EVERY_SECONDS:
                self._refuse(Refusal.REQUEST_TIMEOUT)
        elif self._active:
            self._active = False
            self._idle_since = now
        elif now - self._idle_since > limits.idle_seconds:
            self._end()

    def drain(self) -> None:
        """The server stops: say so with the next answer, and close behind it."""
        self._draining = True
        self._form = None  # what is familiar is answered at once, by which it isn't known to be the last

    def end_if_idle(self) -> None:
        """Close if nobody asked for anything; what has come and wasn't read yet is answered first."""
        busy = self._waits or self._queue or self._rest or self._in_head or self._ending
        if not (busy or self._transport is None or has_unread(self._transport)):
            self._end()

    def abort(self) -> None:
        """Cut the connection."""
        self._ending = True
        if self._transport is not None:
            self._transport.abort()
