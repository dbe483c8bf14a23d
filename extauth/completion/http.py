"""HTTP/1.1 of the intake: `POST /v1/logs` (OTLP) and `POST /done`, answered before they are worked off."""

from __future__ import annotations

import asyncio
import hmac
import socket
from dataclasses import dataclass
from typing import cast

import httptools

from extauth.completion.inbox import Inbox
from extauth.completion.signals import Counters
from extauth.completion.sources import Sources
from extauth.dialects.base import Answer, RequestHead
from extauth.server.connections import SWEEP_EVERY_SECONDS, Connections
from extauth.server.framing import Framing, FramingError, examine
from extauth.server.heads import HeadCollector
from extauth.server.refusals import Refusal, refuse
from extauth.server.wire import to_bytes

_LONGEST_BODY = 1024 * 1024
# How much larger than its content a chunked body may be: one-byte chunks take six bytes.
_CHUNKED = 8
_LINGER_SECONDS = 2.0
_PROTOBUF = b"application/x-protobuf"
_LOGS = Answer(200, b"content-type: " + _PROTOBUF + b"\r\n", b"")
_DONE = Answer(204, b"", b"")
_FULL = Answer(503, b"", b"")
_NO_ROOM = Answer(413, b"", b"")


class _RefusedError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What all connections share; without a `token` none is asked for."""

    inbox: Inbox
    connections: Connections
    sources: Sources
    counters: Counters
    token: bytes | None = None


class CompletionProtocol(HeadCollector, asyncio.Protocol):
    """One connection of a proxy."""

    def __init__(self, intake: Intake) -> None:
        super().__init__(intake.connections.limits)
        self._intake = intake
        self._connections = intake.connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._head = RequestHead(b"", b"", {})
        self._framing = Framing()
        self._body = bytearray()
        self._in_message = self._ending = self._deaf = False
        self._fed = 0  # bytes of the reads that ended inside this message
        self._since = self._connections.now  # the last step: message begun or ended, answers unread
        self._gone_by: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection; one from elsewhere is closed at once."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        unix = transport.get_extra_info("socket").family == socket.AF_UNIX
        if not self._intake.sources.admits(peer, unix=unix):
            self._intake.counters.foreign += 1
            self._ending = True
            self._transport.abort()
        elif not self._connections.add(self):
            self._refuse(refuse(Refusal.TOO_MANY_CONNECTIONS))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._connections.discard(self)
        self._transport = None
        self._ending = True

    def eof_received(self) -> bool:
        """The peer sends no more; what is due is written before the connection closes."""
        self._ending = True
        self._connections.outbox.flush()
        return False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, whose callbacks answer."""
        if self._ending:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            if isinstance(cause, _RefusedError):
                self._refuse(cause.answer)
            elif not self._ending:
                bad = cause.refusal if isinstance(cause, FramingError) else Refusal.BAD_REQUEST
                self._refuse(refuse(bad))
            return
        if self._in_message and not self._ending:
            limits = self._connections.limits
            self._fed += len(data)
            if self._in_head and self._fed > limits.head_bytes + len(data):
                self._refuse(refuse(Refusal.HEAD_TOO_LARGE))
            elif self._fed > limits.head_bytes + _CHUNKED * _LONGEST_BODY:
                self._refuse(_NO_ROOM)

    def on_message_begin(self) -> None:
        """Note since when a message comes."""
        self._begin_head()
        self._in_message = True
        self._fed = 0
        self._since = self._connections.now

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header line; trailers mean nothing here."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse what is no signal before its body is read."""
        if self._ending:
            raise FramingError(Refusal.BAD_REQUEST)
        parser = self._parser
        self._in_head = False
        self._head = head = RequestHead(parser.get_method(), self._target, self._headers, self._repeated)
        keep = parser.should_keep_alive()
        framing = examine(
            head,
            self._connections.limits,
            version=parser.get_http_version(),
            keep_alive=keep,
            upgrade=parser.should_upgrade(),
        )
        # Unlike a check's, a body is read here to its end.
        self._framing = framing._replace(last=not keep, unread=False)
        answer = self._unwanted(head)
        if answer is not None:
            raise _RefusedError(answer)
        self._body = bytearray()
        if head.headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._connections.outbox.put(self._transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _unwanted(self, head: RequestHead) -> Answer | None:
        headers = head.headers
        token = self._intake.token
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if token is not None and not (scheme.lower() == b"bearer" and hmac.compare_digest(given, token)):
            return Answer(401, b"www-authenticate: Bearer\r\n", b"")
        if head.target not in {b"/v1/logs", b"/done"}:
            return Answer(404, b"", b"")
        if head.method != b"POST":
            return Answer(405, b"allow: POST\r\n", b"")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if (head.target == b"/v1/logs" and kind != _PROTOBUF) or b"content-encoding" in headers:
            return Answer(415, b"", b"")
        return _NO_ROOM if int(headers.get(b"content-length", b"0")) > _LONGEST_BODY else None

    def on_body(self, piece: bytes) -> None:
        """Collect the body."""
        self._body += piece
        if len(self._body) > _LONGEST_BODY:
            raise _RefusedError(_NO_ROOM)

    def on_message_complete(self) -> None:
        """Answer; the work comes later."""
        self._in_message = False
        self._since = self._connections.now
        otlp = self._head.target == b"/v1/logs"
        taken = self._intake.inbox.put(bytes(self._body), otlp=otlp)
        self._body = bytearray()
        self._write((_LOGS if otlp else _DONE) if taken else _FULL)
        if self._framing.last:
            self._end()

    def _write(self, answer: Answer) -> None:
        if self._transport is not None:
            data = to_bytes(answer, b"POST", self._framing, self._connections.date_line)
            if answer is _DONE:
                # RFC 9110 section 8.6: there is no length where there can be no body.
                data = data.replace(b"content-length: 0\r\n", b"")
            self._connections.outbox.put(self._transport, data)

    def _refuse(self, answer: Answer) -> None:
        """Answer, and end the connection: what is still coming isn't read."""
        self._connections.refused[str(answer.status)] += 1
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._framing = Framing(last=True)
        self._write(answer)
        self._end(linger=True)

    def _end(self, *, linger: bool = False) -> None:
        self._ending = True
        self._connections.outbox.flush()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._gone_by = self._connections.now + _LINGER_SECONDS
        if linger:
            transport.write_eof()
        else:
            transport.close()

    def pause_writing(self) -> None:
        """The peer doesn't read its answers: stop reading its requests."""
        self._deaf = True
        self._since = self._connections.now
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._deaf = False
        if self._transport is not None:
            self._transport.resume_reading()

    def expire(self, now: float) -> None:
        """End the connection if it has been idle, slow or deaf for too long. Called by the sweep."""
        limits = self._connections.limits
        waited = now - self._since
        if self._gone_by is not None or self._deaf:
            over = now > self._gone_by if self._gone_by is not None else waited > limits.head_seconds
            if over and self._transport is not None:
                self._transport.abort()
        elif self._in_message:
            if waited > limits.head_seconds + SWEEP_EVERY_SECONDS:
                self._refuse(refuse(Refusal.REQUEST_TIMEOUT))
        elif waited > limits.idle_seconds:
            self._end()

    def shutdown(self) -> None:
        """Close, once what was answered is written."""
        self._end()
