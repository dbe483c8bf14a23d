"""Envoy's access log over OTLP/HTTP as signals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from extauth.completion.layouts import Layouts
from extauth.completion.lines import duration_of, signal, status_of
from extauth.completion.signals import Reading, Signal, Unread

# An AnyValue that is one of these texts, as it stands on the wire.
_END = b"\n\x0dDownstreamEnd"
_PERIODIC = b"\n\x12DownstreamPeriodic"
_PACKAGE = "extauth"
_VISIBLE = re.compile("[!-~]+").fullmatch
# One body in so many is learnt: where each lies differently that must not cost much.
_LEARN_EVERY = 8


def _parsers() -> tuple[Any, Any]:
    """Return what parses an ExportLogsServiceRequest, only for its attributes, and what parses an AnyValue.

    In opentelemetry-proto they are a list of KeyValue. A map of bytes has the same form on the wire
    (protobuf.dev/programming-guides/proto3/#maps-backward), and three of seven attributes are found in it
    without an object for each of them and for each value.
    """
    file = FileDescriptorProto(name="signals.proto", package=_PACKAGE, syntax="proto3")
    _add_list(file.message_type.add(name="Request"), "resource_logs", 1, of="ResourceLogs")
    _add_list(file.message_type.add(name="ResourceLogs"), "scope_logs", 2, of="ScopeLogs")
    _add_list(file.message_type.add(name="ScopeLogs"), "log_records", 2, of="LogRecord")
    record = file.message_type.add(name="LogRecord")
    _add_list(record, "attributes", 6, of="LogRecord.AttributesEntry")
    entry = record.nested_type.add(name="AttributesEntry")
    entry.options.map_entry = True
    _add_one(entry, "key", 1, FieldDescriptorProto.TYPE_STRING)
    _add_one(entry, "value", 2, FieldDescriptorProto.TYPE_BYTES)
    _add_one(file.message_type.add(name="AnyValue"), "string_value", 1, FieldDescriptorProto.TYPE_STRING)
    pool = DescriptorPool()
    pool.Add(file)
    request, value = (
        GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in ("Request", "AnyValue")
    )
    return request.FromString, value.FromString


def _add_one(
    message: DescriptorProto, name: str, number: int, kind: FieldDescriptorProto.Type.ValueType
) -> None:
    message.field.add(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)


def _add_list(message: DescriptorProto, name: str, number: int, *, of: str) -> None:
    message.field.add(
        name=name,
        number=number,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.{of}",
        label=FieldDescriptorProto.LABEL_REPEATED,
    )


_parse, _parse_value = _parsers()


class OtlpReader:
    """Reads requests, and remembers how their bytes lie."""

    def __init__(self) -> None:
        self._layouts = Layouts()
        self._parsed = 0

    def recall(self, body: bytes) -> Signal | None:
        """Return the signal of a body that has one, and that lies as another one did; else None."""
        found = self._layouts.recall(body)
        if found is None:
            return None
        progress, (request_id, lease, *upstream) = found
        if lease == b"-":
            lease = b""
        text = (request_id + lease).decode("latin-1")
        if request_id == b"-" or not _VISIBLE(text):
            return None
        size = len(request_id)
        status, duration_us = _upstream(*upstream) if upstream else (0, 0)
        # Once a signal: the named tuple's own constructor takes twice as long.
        return tuple.__new__(Signal, (text[:size], text[size:], progress, status, duration_us))

    def read(self, body: bytes) -> Iterator[Reading]:
        """Read an ExportLogsServiceRequest whose records have the attributes `rid`, `lease` and `type`.

        `status` and `us` are what the upstream answered, and after how many microseconds.
        Only DownstreamEnd ends a request and DownstreamPeriodic says that it runs; other types are ignored.
        """
        try:
            request = _parse(body)
        except DecodeError:
            yield Unread.UNREADABLE
            return
        self._parsed += 1
        learns = self._parsed % _LEARN_EVERY == 0
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    reading = _read(record.attributes.get)
                    if learns and isinstance(reading, Signal):
                        self._layouts.learn(body, progress=reading.progress)
                        learns = False
                    yield reading


def _read(attribute: Callable[[str], bytes | None]) -> Reading:
    kind = attribute("type")
    if kind in {_END, _PERIODIC}:
        lease = _text(attribute("lease"))
        status, duration_us = _upstream(_text(attribute("status")), _text(attribute("us")))
        return signal(
            _text(attribute("rid")),
            lease,
            progress=kind == _PERIODIC,
            status=status,
            duration_us=duration_us,
        )
    return Unread.IGNORED if _text(kind) else Unread.UNREADABLE


def _upstream(status: str | bytes, duration_us: str | bytes) -> tuple[int, int]:
    """Return what the upstream answered, and how long it took; 0 where that isn't told."""
    told = status_of(_as_text(status))
    return (told, duration_of(_as_text(duration_us), 1)) if told else (0, 0)


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _text(value: bytes | None) -> str:
    """Return the text of an AnyValue; an empty one where it holds none."""
    if value is None:
        return ""
    # The commonest form: tag, length, and up to 127 bytes. What isn't ASCII is found to be no id.
    if len(value) > 1 and value[0] == _END[0] and value[1] == len(value) - 2:
        return value[2:].decode("latin-1")
    try:
        return str(_parse_value(value).string_value)
    except DecodeError:
        return "\0"
