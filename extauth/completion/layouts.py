"""How the bytes of an OTLP request lie that has one record, as Envoy sends one for each request that ends.

From one such body to the next only values change, and where they are as long as before, all else stands where
it stood. A layout says what must stand where, and where the values are: reading those costs a fifth of
parsing. That is exact, because all tags and lengths of protobuf's wire format stand outside of the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from extauth.completion.signals import LONGEST_ID, LONGEST_LEASE

# Tags of what is looked into (opentelemetry/proto/{collector/logs,logs,common}/v1): field * 8 + wire type.
_RESOURCE_LOGS, _SCOPE_LOGS, _LOG_RECORDS = 0x0A, 0x12, 0x12
_TIMES = frozenset({0x09, 0x59})  # time_unix_nano, observed_time_unix_nano
_ATTRIBUTES, _KEY, _VALUE, _STRING = 0x32, 0x0A, 0x12, 0x0A
_FIXED64, _LENGTH = 1, 2
_MORE = 0x80  # of a number: this bit of a byte says that another one follows
_LONGEST_BODY = 1_024
_LONGEST = {b"rid": LONGEST_ID, b"lease": LONGEST_LEASE, b"status": 3, b"us": 14}
# The attributes whose values are read, in the order in which they stand; a record may lack the last two.
_NAMES = (b"rid", b"lease", b"status", b"us")
_MOST_ALIKE = 4


class _Span(NamedTuple):
    start: int
    end: int


class _UnusualError(Exception):
    """Something that is not looked into."""


class Layout:
    """What one body had outside of its values, and where its values were."""

    __slots__ = ("_fixed", "_parts", "_values", "progress")

    def __init__(
        self, body: bytes, values: dict[bytes, _Span], others: list[_Span], *, progress: bool
    ) -> None:
        chosen = sorted(values.values())
        self._parts = Struct(_format(sorted([*chosen, *others]), len(body), inside="x", outside="s"))
        self._values = Struct(_format(chosen, len(body), inside="s", outside="x"))
        self._fixed = self._parts.unpack(body)
        self.progress = progress

    def values(self, body: bytes) -> tuple[bytes, ...] | None:
        """Return the values of a body that is as long, if it is like this one."""
        return self._values.unpack(body) if self._parts.unpack(body) == self._fixed else None


def _format(spans: list[_Span], size: int, *, inside: str, outside: str) -> str:
    """Write for `struct` what is inside and outside of these spans."""
    parts, at = [], 0
    for start, end in spans:
        parts.append(f"{start - at}{outside}{end - start}{inside}")
        at = end
    return f"={''.join(parts)}{size - at}{outside}"


class Layouts:
    """The layouts that were seen."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[Layout]] = {}

    def recall(self, body: bytes) -> tuple[bool, tuple[bytes, ...]] | None:
        """Return whether the request still runs, and its id and lease, perhaps with status and duration.

        None where it must be parsed.
        """
        for layout in self._by_size.get(len(body), ()):
            values = layout.values(body)
            if values is not None:
                return layout.progress, values
        return None

    def learn(self, body: bytes, *, progress: bool) -> None:
        """Remember the layout of a body that was parsed, and that has one record, which is a signal."""
        if len(body) > _LONGEST_BODY:
            return
        try:
            values, others = _look(body)
        except (_UnusualError, IndexError):
            return
        alike = self._by_size.setdefault(len(body), [])
        if tuple(sorted(values, key=values.__getitem__)) in (_NAMES, _NAMES[:2]):
            alike.insert(0, Layout(body, values, others, progress=progress))
            del alike[_MOST_ALIKE:]


def _look(body: bytes) -> tuple[dict[bytes, _Span], list[_Span]]:
    """Return where the values are that are read, and where all is that may change beside them."""
    whole = _Span(0, len(body))
    resource = _only(body, whole, _RESOURCE_LOGS)
    scope = _only(body, resource, _SCOPE_LOGS)
    record = _only(body, scope, _LOG_RECORDS)
    values: dict[bytes, _Span] = {}
    others: list[_Span] = []
    for tag, span in _fields(body, record):
        if tag in _TIMES:
            others.append(span)
        elif tag == _ATTRIBUTES:
            name = body[slice(*_only(body, span, _KEY))]
            value = _only(body, _only(body, span, _VALUE), _STRING)
            if name in values:
                raise _UnusualError
            if name in _LONGEST:
                values[name] = value
            elif name != b"type":
                others.append(value)
    if any(not 0 < end - start <= _LONGEST[name] for name, (start, end) in values.items()):
        raise _UnusualError
    return values, others


def _only(body: bytes, within: _Span, wanted: int) -> _Span:
    """Return the one field that has this tag."""
    found = [span for tag, span in _fields(body, within) if tag == wanted]
    if len(found) != 1:
        raise _UnusualError
    return found[0]


def _fields(body: bytes, within: _Span) -> Iterator[tuple[int, _Span]]:
    """Walk the fields of a message (protobuf.dev/programming-guides/encoding): tag, place of the value."""
    at = within.start
    while at < within.end:
        tag, at = body[at], at + 1
        if tag & 7 == _FIXED64:
            size = 8
        elif tag & 7 == _LENGTH:
            size, at = _varint(body, at)
        else:
            raise _UnusualError
        if tag >= _MORE or at + size > within.end:
            raise _UnusualError
        yield tag, _Span(at, at + size)
        at += size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return a number of up to 14 bits, and where it ends."""
    low = body[at]
    if low < _MORE:
        return low, at + 1
    high = body[at + 1]
    if high >= _MORE:
        raise _UnusualError
    return low - _MORE + (high << 7), at + 2
