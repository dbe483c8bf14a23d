"""Sends spans to a collector: OTLP over HTTP, in batches, by a thread that no check ever waits for.

What finds no room, and what the collector doesn't take, is dropped and counted: a trace is not worth a check.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import secrets
import socket
import urllib.parse
from collections import Counter, deque
from itertools import islice

from google.protobuf.message import EncodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from extauth import __version__
from extauth.tasks import in_thread
from extauth.tracing.spans import Checked, spans_of

# How many checks may wait to be sent, and how many are sent at once.
ROOM = 2_048
AT_ONCE = 512
EVERY_SECONDS = 1.0
# How long the collector may take for a batch, from the connection to the answer, and for the last one of a
# process that ends.
_PATIENCE_SECONDS = 5.0
_LAST_SECONDS = 2.0
_SCOPE = InstrumentationScope(name="extauth", version=__version__)


class SpanExporter:
    """Takes what was checked, and sends it once a second. `endpoint` is the whole URL, `service` our name."""

    def __init__(self, endpoint: str, service: str) -> None:
        self._url = urllib.parse.urlsplit(endpoint)
        self._resource = _resource(service)
        self._waiting: deque[Checked] = deque()
        # By what became of them: sent, dropped for want of room, or not taken.
        self.checks: Counter[str] = Counter(sent=0, full=0, failed=0)

    def put(self, checked: Checked) -> None:
        """Take one, if there is room."""
        if len(self._waiting) < ROOM:
            self._waiting.append(checked)
        else:
            self.checks["full"] += 1

    async def run(self) -> None:
        """Send again and again until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            # No more than there was by now: a collector that is slow must not be asked for ever.
            for _ in range(-(-len(self._waiting) // AT_ONCE)):
                await self._send_some(_PATIENCE_SECONDS)

    async def close(self) -> None:
        """Send the rest, to a collector that answers soon."""
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                while self._waiting:
                    await self._send_some(_LAST_SECONDS)
        except TimeoutError:
            self.checks["failed"] += len(self._waiting)

    async def _send_some(self, patience_seconds: float) -> None:
        batch = [self._waiting.popleft() for _ in islice(range(AT_ONCE), len(self._waiting))]
        became, exchange = "failed", _Exchange(self._url, patience_seconds)
        try:
            async with asyncio.timeout(patience_seconds):
                status = await in_thread(lambda: exchange.run(self._encoded(batch)))
            if status == http.HTTPStatus.OK:
                became = "sent"
        except (OSError, http.client.HTTPException, EncodeError, ValueError):
            # Whatever it is: they are lost, and the next ones are tried as ever.
            pass
        finally:
            # Also where nobody waits any longer.
            exchange.end()
            self.checks[became] += len(batch)

    def _encoded(self, batch: list[Checked]) -> bytes:
        spans = [span for checked in batch for span in spans_of(checked)]
        scope = ScopeSpans(scope=_SCOPE, spans=spans)
        return ExportTraceServiceRequest(
            resource_spans=[ResourceSpans(resource=self._resource, scope_spans=[scope])]
        ).SerializeToString()


class _Exchange:
    """One request to a collector and its answer. `run` blocks its thread until it is done or `end` is called.

    The patience of a socket begins anew with each byte that comes, so it alone bounds nothing.
    """

    def __init__(self, url: urllib.parse.SplitResult, patience_seconds: float) -> None:
        self._url = url
        self._patience_seconds = patience_seconds
        self._connection: http.client.HTTPConnection | None = None
        self._is_over = False

    def run(self, body: bytes) -> int:
        """Send it, and return the answer's status. Raises OSError, HTTPException and ValueError."""
        is_tls = self._url.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._patience_seconds)
        self._connection = connection
        try:
            connection.connect()
            if self._is_over:
                # There was nothing yet that could be shut down.
                raise TimeoutError
            connection.request("POST", self._url.path, body, {"content-type": "application/x-protobuf"})
            # What a collector says besides is no concern of ours, and may have no end.
            return connection.getresponse().status
        finally:
            connection.close()

    def end(self) -> None:
        """Have the thread wait for nothing more."""
        self._is_over = True
        connected = None if self._connection is None else self._connection.sock
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


def _resource(service: str) -> Resource:
    # Each process is an instance of its own.
    texts = {
        "service.name": service,
        "service.version": __version__,
        "service.instance.id": secrets.token_hex(8),
    }
    return Resource(
        attributes=[KeyValue(key=name, value=AnyValue(string_value=value)) for name, value in texts.items()]
    )
