"""HTTP/1.1 of the intake: `POST /v1/logs` (OTLP) and `POST /done`, answered before they are worked off."""

from __future__ import annotations

import asyncio
import hmac
import socket
from dataclasses import dataclass, field
from typing import cast

import httptools

from extauth.completion.familiar import FamiliarHead
from extauth.completion.inbox import Inbox
from extauth.completion.signals import Counters
from extauth.completion.sources import Sources
from extauth.dialects.base import Answer, RequestHead
from extauth.server.connections import SWEEP_EVERY_SECONDS, Connections, has_unread
from extauth.server.framing import Framing, FramingError, examine
from extauth.server.heads import HeadCollector
from extauth.server.refusals import Refusal, refuse
from extauth.server.wire import to_bytes

_LONGEST_BODY = 1024 * 1024
# How much larger than its content a chunked body may be: one-byte chunks take six bytes.
_CHUNKED = 8
_LINGER_SECONDS = 2.0
_LOGS_TARGET = b"/v1/logs"
_PROTOBUF = b"application/x-protobuf"
_LOGS = Answer(200, b"content-type: " + _PROTOBUF + b"\r\n", b"")
_DONE = Answer(204, b"", b"")
_FULL = Answer(503, b"", b"")
# All statuses that something is refused with.
REFUSALS = ("400", "401", "404", "405", "408", "413", "415", "431", "503")
_PLAIN = Framing()
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Where the id of a request stands whose end is reported without a body, and that of its lease.
_ID_LINES = (b"x-request-id", b"x-rid")
_LEASE_LINE = b"x-extauth-lease"
_NO_ROOM = Answer(413, b"", b"")


class _RefusedError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(slots=True, kw_only=True)
class Intake:
    """What all connections share; without a `token` none is asked for."""

    inbox: Inbox
    connections: Connections
    sources: Sources
    counters: Counters
    token: bytes | None = None
    open: set[CompletionProtocol] = field(default_factory=set)
    closed: bool = False
    _date_line: bytes = b"-"
    _logs: bytes = b""
    _done: bytes = b""

    def plain_answer(self, *, otlp: bool) -> bytes:
        """Return the answer to signals that were taken, on a connection that stays."""
        date_line = self.connections.date_line
        if date_line is not self._date_line:
            self._date_line = date_line
            self._logs = _answer_bytes(_LOGS, _PLAIN, date_line)
            self._done = _answer_bytes(_DONE, _PLAIN, date_line)
        return self._logs if otlp else self._done

    def close(self) -> None:
        """End all connections, and work off what was answered."""
        self.closed = True
        for connection in tuple(self.open):
            connection.shutdown()
        self.inbox.finish()


def _answer_bytes(answer: Answer, framing: Framing, date_line: bytes) -> bytes:
    data = to_bytes(answer, b"POST", framing, date_line)
    # RFC 9110 section 8.6: there is no length where there can be no body.
    return data.replace(b"content-length: 0\r\n", b"") if answer is _DONE else data


class CompletionProtocol(HeadCollector, asyncio.Protocol):
    """One connection of a proxy."""

    def __init__(self, intake: Intake) -> None:
        super().__init__(intake.connections.limits)
        self._intake = intake
        self._connections = intake.connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._head = RequestHead(b"", b"", {})
        self._framing = _PLAIN
        self._body = bytearray()
        self._in_message = self._ending = self._deaf = False
        self._draining = self._connections.draining
        self._read: list[bytes] = []  # the bodies that the parser found in one read
        self._familiar: FamiliarHead | None = None
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
            return
        if self._intake.closed:
            self._ending = True
            self._transport.close()
            return
        self._intake.open.add(self)
        if not self._connections.add(self):
            self._refuse(refuse(Refusal.TOO_MANY_CONNECTIONS))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._connections.discard(self)
        self._intake.open.discard(self)
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
        began_between, familiar = not self._in_message, self._familiar
        if began_between and familiar is not None:
            body = familiar.recall(data)
            if body is not None:
                self._since = self._connections.now
                self._framing = _PLAIN
                self._take(body, otlp=familiar.otlp)
                return
        self._parse(data)
        if began_between and len(self._read) == 1 and self._stays_between():
            otlp = self._head.target == _LOGS_TARGET
            self._familiar = FamiliarHead.learn(data, self._read[0], otlp=otlp)
        self._read.clear()

    def _stays_between(self) -> bool:
        """Tell whether the last request is read to its end, and leaves the connection as it was."""
        return not (self._in_message or self._ending or self._framing.old)

    def _parse(self, data: bytes) -> None:
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
        self._framing = framing._replace(last=not keep or self._draining, unread=False)
        answer = self._unwanted(head)
        if answer is not None:
            raise _RefusedError(answer)
        self._body = bytearray()
        expects = head.headers.get(b"expect", b"").lower() == b"100-continue" and not framing.old
        if expects and self._transport is not None:
            self._connections.outbox.put(self._transport, _CONTINUE)

    def _unwanted(self, head: RequestHead) -> Answer | None:
        headers = head.headers
        token = self._intake.token
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if token is not None and not (scheme.lower() == b"bearer" and hmac.compare_digest(given, token)):
            return Answer(401, b"www-authenticate: Bearer\r\n", b"")
        if head.target not in {_LOGS_TARGET, b"/done"}:
            return Answer(404, b"", b"")
        if head.method != b"POST":
            return Answer(405, b"allow: POST\r\n", b"")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if (head.target == _LOGS_TARGET and kind != _PROTOBUF) or b"content-encoding" in headers:
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
        body, otlp = bytes(self._body), self._head.target == _LOGS_TARGET
        self._body = bytearray()
        self._read.append(body)
        self._take(body if body or otlp else _from_head(self._head), otlp=otlp)
        if self._framing.last:
            self._end()

    def _take(self, body: bytes, *, otlp: bool) -> None:
        intake = self._intake
        if not intake.inbox.put(body, otlp=otlp):
            intake.connections.refused[str(_FULL.status)] += 1
            self._write(_FULL)
        elif self._framing.last or self._framing.old:
            self._write(_LOGS if otlp else _DONE)
        elif self._transport is not None:
            intake.connections.outbox.put(self._transport, intake.plain_answer(otlp=otlp))

    def _write(self, answer: Answer) -> None:
        if self._transport is not None:
            data = _answer_bytes(answer, self._framing, self._connections.date_line)
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
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def expire(self, now: float) -> None:
        """End the connection if it has been idle, slow or deaf for too long. Called by the sweep."""
        limits = self._connections.limits
        waited = now - self._since
        if self._gone_by is not None or self._deaf:
            if now > self._gone_by if self._gone_by is not None else waited > limits.head_seconds:
                self.abort()
        elif self._in_message:
            if waited > limits.head_seconds + SWEEP_EVERY_SECONDS:
                self._refuse(refuse(Refusal.REQUEST_TIMEOUT))
        elif waited > limits.idle_seconds:
            self._end()

    def drain(self) -> None:
        """The server stops: say so with the next answer, and close behind it."""
        self._draining = True
        self._familiar = None

    def end_if_idle(self) -> None:
        """Close unless a report is being read, or waits to be."""
        transport = self._transport
        if not (self._in_message or self._ending or transport is None or has_unread(transport)):
            self._end()

    def shutdown(self) -> None:
        """Close, once what was answered is written."""
        self._end()

    def abort(self) -> None:
        """Cut the connection."""
        self._ending = True
        if self._transport is not None:
            self._transport.abort()


def _from_head(head: RequestHead) -> bytes:
    """Return the line that a bodyless report would have had as its body."""
    request_id = next((head.headers[name] for name in _ID_LINES if name in head.headers), b"")
    lease = head.headers.get(_LEASE_LINE, b"")
    # A blank would make two values of one.
    readable = len((request_id + lease).split()) == 1
    return b"rid=%s lease=%s" % (request_id, lease) if readable else b""
