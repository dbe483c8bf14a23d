"""Envoy's access log over OTLP/HTTP as signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from extauth.completion.layouts import Layouts, Recalled, record_at
from extauth.completion.lines import duration_of, signal, status_of
from extauth.completion.signals import Reading, Signal, Unread

# An AnyValue that is one of these texts, as it stands on the wire.
_END = b"\n\x0dDownstreamEnd"
_PERIODIC = b"\n\x12DownstreamPeriodic"
_PACKAGE = "extauth"
_VISIBLE = bytes(range(0x21, 0x7F))
# One record in so many is learnt: where each lies differently that must not cost much.
_LEARN_EVERY = 8
# Longer bodies are read as they are worked off, some records at a time: all at once would hold up checks.
_LONGEST_AT_ONCE = 128 * 1024
# And bodies with more records that have to be parsed: a short body can hold tens of thousands.
_MOST_PARSED_AT_ONCE = 512
_STATUSES = {b"%d" % status: status for status in range(100, 600)}
_LONGEST_DURATION = 14  # digits
# How many values a familiar record has: request and lease; then what the upstream did.
_LEAST = 2


def _parsers() -> tuple[Any, Any, Any]:
    """Return what parses an ExportLogsServiceRequest, only for its attributes, a LogRecord, and an AnyValue.

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
    request, log_record, value = (
        GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in ("Request", "LogRecord", "AnyValue")
    )
    return request.FromString, log_record.FromString, value.FromString


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


_parse, _parse_record, _parse_value = _parsers()


class OtlpReader:
    """Reads requests, and remembers how the bytes of their records lie."""

    def __init__(self) -> None:
        self._layouts = Layouts()
        self.parsed = 0  # records that were not familiar

    def recall(self, body: bytes) -> list[Reading] | None:
        """Read an ExportLogsServiceRequest of the usual form, whose familiar records aren't parsed.

        What it says is what `read_otlp` says; None where that has to be asked.
        """
        layouts, end = self._layouts, len(body)
        at = layouts.first(body) if end <= _LONGEST_AT_ONCE else None
        if at is None:
            return None
        readings: list[Reading] = []
        most = self.parsed + _MOST_PARSED_AT_ONCE
        while at < end:
            recalled = layouts.recall(body, at)
            if recalled is not None and (signal := _recalled(recalled)) is not None:
                readings.append(signal)
                at = recalled[2]
                continue
            place = record_at(body, at)
            if place is None or self.parsed >= most:
                return None
            try:
                readings.append(self._parse_one(body, at, place))
            except DecodeError:
                return [Unread.UNREADABLE]
            at = place[1]
        return readings

    def _parse_one(self, body: bytes, at: int, place: tuple[int, int]) -> Reading:
        """Parse the record that begins there, and learn how it lies. Raises DecodeError."""
        start, end = place
        reading = _read(_parse_record(body[start:end]).attributes.get)
        self.parsed += 1
        if self.parsed % _LEARN_EVERY == 0 and isinstance(reading, Signal):
            self._layouts.learn(body, at, end, progress=reading.progress)
        return reading


def read_otlp(body: bytes) -> Iterator[Reading]:
    """Read an ExportLogsServiceRequest whose records have the attributes `rid`, `lease` and `type`.

    `status` and `us` are what the upstream answered, and after how many microseconds.
    Only DownstreamEnd ends a request and DownstreamPeriodic says that it runs; other types are ignored.
    """
    try:
        request = _parse(body)
    except DecodeError:
        yield Unread.UNREADABLE
        return
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield _read(record.attributes.get)


def _recalled(recalled: Recalled) -> Signal | None:
    """Return the signal that a familiar record is; None where its values have to be looked at closer."""
    progress, values, _ = recalled
    request_id, lease = values[0], values[1]
    if lease == b"-":
        lease = b""
    if request_id == b"-" or (request_id + lease).translate(None, _VISIBLE):
        return None
    status, duration_us = _upstream_of(values[2], values[3]) if len(values) > _LEAST else (0, 0)
    # Once a signal: the named tuple's own constructor takes twice as long.
    return tuple.__new__(Signal, (request_id.decode(), lease.decode(), progress, status, duration_us))


def _upstream_of(status: bytes, duration: bytes) -> tuple[int, int]:
    """Return the same as `_upstream`, for bytes; whole numbers, as nearly all are, need no closer look."""
    told = _STATUSES.get(status, 0)
    if told and duration.isdigit() and len(duration) <= _LONGEST_DURATION:
        return told, int(duration)
    return (told, duration_of(duration.decode("latin-1"), 1)) if told else (0, 0)


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


def _upstream(status: str, duration_us: str) -> tuple[int, int]:
    """Return what the upstream answered, and how long it took; 0 where that isn't told."""
    told = status_of(status)
    return (told, duration_of(duration_us, 1)) if told else (0, 0)


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
