"""Envoy's access log over OTLP/HTTP as signals."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from extauth.completion.lines import signal
from extauth.completion.signals import Reading, Unread


def read_otlp(body: bytes) -> Iterator[Reading]:
    """Read an ExportLogsServiceRequest whose records have the attributes `rid`, `lease` and `type`.

    Only DownstreamEnd ends a request and DownstreamPeriodic says that it runs; other types are ignored.
    """
    try:
        request = ExportLogsServiceRequest.FromString(body)
    except DecodeError:
        yield Unread.UNREADABLE
        return
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield _read({each.key: each.value.string_value for each in record.attributes})


def _read(attributes: dict[str, str]) -> Reading:
    kind = attributes.get("type", "")
    if kind in {"DownstreamEnd", "DownstreamPeriodic"}:
        progress = kind == "DownstreamPeriodic"
        return signal(attributes.get("rid"), attributes.get("lease"), progress=progress)
    return Unread.IGNORED if kind else Unread.UNREADABLE
