"""A collector for OTLP over HTTP: a real server that decodes what comes, and can hang or refuse."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_DRIP_SECONDS = 0.02
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
NOT_SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-00"


class Collector:
    """What came, by service. No answer is given while `flows` is not set; `status` is that of all."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[tuple[str, Span]] = []
        self.resources: list[Mapping[str, Any]] = []
        self.flows = threading.Event()
        self.flows.set()
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        """Where spans are sent."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def of(self, service: str) -> list[Span]:
        """Return the spans of a service, in the order in which they came."""
        return [span for name, span in self.spans if name == service]

    def take(self, body: bytes) -> None:
        """Decode what came."""
        self.bodies.append(body)
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
            self.resources.append(resource)
            self.spans += [
                (resource["service.name"], span) for scope in of_resource.scope_spans for span in scope.spans
            ]

    def serve(self) -> None:
        """Serve until closed."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Let go of all who wait, and end."""
        self.flows.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(collector) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Take a batch."""
                body = _body_of(self)
                collector.flows.wait()
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                if collector.status == 200:
                    collector.take(body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _body_of(handler: BaseHTTPRequestHandler) -> bytes:
    """Return a body, also one in chunks, which Envoy sends."""
    if "content-length" in handler.headers:
        return handler.rfile.read(int(handler.headers["content-length"]))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()
    thread = threading.Thread(target=collector.serve)
    thread.start()
    try:
        yield collector
    finally:
        collector.close()
        thread.join()


class Dripper:
    """A listener that answers its first client a byte at a time, and does not come to the end of the answer.

    `left` is set when the client is gone.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Where nobody comes it ends all the same.
        self._listener.settimeout(10)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1/traces"
        self.left = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener.accept()[0] as client, contextlib.suppress(OSError):
            for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nx: ", itertools.repeat(ord("y"))):
                client.sendall(bytes([byte]))
                if self._closing.wait(_DRIP_SECONDS):
                    return
        self.left.set()

    def close(self) -> None:
        """End, whoever still waits."""
        self._closing.set()
        self._thread.join()
        self._listener.close()


def attributes_of(span: Span) -> dict[str, Any]:
    """Return the attributes of a span, as plain values."""
    found: dict[str, Any] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        found[one.key] = (
            [each.string_value for each in one.value.array_value.values]
            if kind == "array_value"
            else one.value.string_value
        )
    return found
