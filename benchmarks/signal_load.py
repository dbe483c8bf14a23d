"""Reports that requests ended, as proxies send them, and the connections on which checks and reports go.

It knows no contender and measures nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from benchmarks.load import HOST, CheckRequest

_SECONDS = 10.0
_HEAD_END = b"\r\n\r\n"
_LEASE = re.compile(rb"\r\nx-extauth-lease: ([^\r]+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nx-request-id: ([^\r]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)", re.IGNORECASE)
# What Envoy 1.40 sends before its log records, as envoy/envoy.yaml has it do.
_LOGS_HEAD = (
    b"POST /v1/logs HTTP/1.1\r\n"
    b"host: extauth.internal\r\n"
    b"content-type: application/x-protobuf\r\n"
    b"user-agent: OTel-OTLP-Exporter-Envoy/9e5580933739775e8bce696a57a2e1bc99368f23"
    b"/1.40.0/Clean/RELEASE/BoringSSL\r\n"
    b"x-envoy-internal: true\r\n"
    b"x-forwarded-for: 127.0.0.1\r\n"
    b"x-envoy-expected-rq-timeout-ms: 10000\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Ended(NamedTuple):
    """A request that ended: its id and its lease, and how long the upstream took in microseconds."""

    request_id: bytes
    lease: bytes
    took_us: int


class AnswerError(Exception):
    """Something was answered otherwise than it has to be."""


class Wires:
    """Kept-alive connections, each with one message under way at most."""

    def __init__(self, stack: ExitStack, port: int, count: int) -> None:
        self._connections = [
            stack.enter_context(socket.create_connection((HOST, port), timeout=_SECONDS))
            for _ in range(count)
        ]
        for connection in self._connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, messages: Sequence[bytes]) -> list[bytes]:
        """Send these at once, one on each connection, and return the heads of the answers.

        Raises AnswerError where one isn't 200.
        """
        asked = list(zip(self._connections, messages, strict=False))
        for connection, message in asked:
            connection.sendall(message)
        return [_answer(connection) for connection, _ in asked]


def _answer(connection: socket.socket) -> bytes:
    data = b""
    while True:
        data += (got := connection.recv(65_536))
        head, end, body = data.partition(_HEAD_END)
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            break
        if not got:
            raise AnswerError("a connection was closed")
    if not head.startswith(b"HTTP/1.1 200"):
        raise AnswerError(head.partition(b"\r\n")[0].decode("latin-1"))
    return head


def leased(request: CheckRequest, numbers: Sequence[int], wires: Wires) -> list[Ended]:
    """Ask so many checks at once, and return what there is to report of them. Raises AnswerError."""
    checks = [request.numbered(number) for number in numbers]
    found = []
    for number, check, head in zip(numbers, checks, wires.ask(checks), strict=True):
        lease, request_id = _LEASE.search(head), _ID.search(check)
        if lease is None or request_id is None:
            raise AnswerError("a check got no lease")
        # Upstreams take from some milliseconds to some tenths of a second.
        found.append(Ended(request_id[1], lease[1], 1_000 + number * 7_919 % 200_000))
    return found


def log_request(ended: Sequence[Ended], time_ns: int) -> bytes:
    """Return the request in which Envoy tells of these."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    logs.resource.SetInParent()
    scope = logs.scope_logs.add()
    for number, (request_id, lease, took_us) in enumerate(ended):
        record = scope.log_records.add(time_unix_nano=time_ns + number)
        told = {"rid": request_id.decode(), "lease": lease.decode(), "type": "DownstreamEnd", "status": "200"}
        for name, value in {**told, "us": str(took_us)}.items():
            record.attributes.add(key=name).value.string_value = value
    body = request.SerializeToString()
    return b"%b%x\r\n%b\r\n0\r\n\r\n" % (_LOGS_HEAD, len(body), body)


def line(one: Ended) -> bytes:
    """Return the datagram in which nginx tells of this one, as nginx/extauth-signals.conf has it do."""
    told = b"rid=%b lease=%b status=200 seconds=%.3f" % (one.request_id, one.lease, one.took_us / 1_000_000)
    return b"<190>Nov 29 12:00:00 extauth: " + told
