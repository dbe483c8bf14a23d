"""How the bytes of OTLP log records lie, as Envoy sends one for each request that ends.

From one such record to the next only values change, and where they are as long as before, all else stands
where it stood. A layout says what must stand where, and where the values are: reading those costs a fraction
of parsing, however many records there are in a request. That is exact, because all tags and lengths of
protobuf's wire format stand outside of the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, TypeVar

from extauth.completion.signals import LONGEST_ID, LONGEST_LEASE

# Tags of what is looked into (opentelemetry/proto/{collector/logs,logs,common}/v1): field * 8 + wire type.
_RESOURCE_LOGS, _RESOURCE, _SCOPE_LOGS, _SCOPE, _LOG_RECORDS = 0x0A, 0x0A, 0x12, 0x0A, 0x12
_TIMES = frozenset({0x09, 0x59})  # time_unix_nano, observed_time_unix_nano
_ATTRIBUTES, _KEY, _VALUE, _STRING = 0x32, 0x0A, 0x12, 0x0A
_FIXED64, _LENGTH = 1, 2
_MORE = 0x80  # of a number: this bit of a byte says that another one follows
_LONGEST_NUMBER = 3  # bytes: lengths up to 2 MiB
_LONGEST_RECORD = 1_024
_LONGEST = {b"rid": LONGEST_ID, b"lease": LONGEST_LEASE, b"status": 3, b"us": 14}
# The attributes whose values are read, in the order in which they stand; a record may lack the last two.
_NAMES = (b"rid", b"lease", b"status", b"us")
_MOST_ALIKE = 4
# How many bytes tell which layouts may fit, and how many forms are kept.
_BEGINNING = 3
_MOST_FORMS = 1_024
# How many bytes of a body its frame is known by.
_FRAME = 8

_Form = TypeVar("_Form")


class _Span(NamedTuple):
    start: int
    end: int


class _UnusualError(Exception):
    """Something that is not looked into."""


class Layout:
    """What one record had outside of its values, tag and length included, and where its values were."""

    __slots__ = ("_fixed", "_parts", "_values", "progress", "size")

    def __init__(
        self, field: bytes, values: dict[bytes, _Span], others: list[_Span], *, progress: bool
    ) -> None:
        chosen = sorted(values.values())
        self._parts = Struct(_format(sorted([*chosen, *others]), len(field), inside="x", outside="s"))
        self._values = Struct(_format(chosen, len(field), inside="s", outside="x"))
        self._fixed = self._parts.unpack(field)
        self.progress = progress
        self.size = len(field)

    def values(self, body: bytes, at: int) -> tuple[bytes, ...] | None:
        """Return the values of the record that begins there, if it is like this one and ends in the body."""
        if at + self.size > len(body) or self._parts.unpack_from(body, at) != self._fixed:
            return None
        return self._values.unpack_from(body, at)


def _format(spans: list[_Span], size: int, *, inside: str, outside: str) -> str:
    """Write for `struct` what is inside and outside of these spans."""
    parts, at = [], 0
    for start, end in spans:
        parts.append(f"{start - at}{outside}{end - start}{inside}")
        at = end
    return f"={''.join(parts)}{size - at}{outside}"


# Whether a request still runs, its id and lease, perhaps with status and duration; and where its record ends.
Recalled = tuple[bool, tuple[bytes, ...], int]


class Layouts:
    """The layouts that were seen, and where records begin in bodies."""

    def __init__(self) -> None:
        self._by_beginning: dict[bytes, list[Layout]] = {}
        # By the beginning of a body, its length and where the first record begins.
        self._frames: dict[bytes, tuple[int, int]] = {}

    def first(self, body: bytes) -> int | None:
        """Return where the first record begins of a body that has nothing but records from there on.

        None where it must be parsed as a whole.
        """
        size, start = self._frames.get(body[:_FRAME], (-1, 0))
        if size == len(body):
            return start
        try:
            start = _first(body)
        except (_UnusualError, IndexError):
            return None
        if start <= _FRAME:
            # All that was looked at stands there.
            _keep(self._frames, body[:_FRAME], (len(body), start))
        return start

    def recall(self, body: bytes, at: int) -> Recalled | None:
        """Return what the record says that begins there; None where it must be parsed."""
        for layout in self._by_beginning.get(body[at : at + _BEGINNING], ()):
            values = layout.values(body, at)
            if values is not None:
                return layout.progress, values, at + layout.size
        return None

    def learn(self, body: bytes, at: int, end: int, *, progress: bool) -> None:
        """Remember the layout of a record that was parsed, and that is a signal; it stands there."""
        if end - at > _LONGEST_RECORD:
            return
        field = body[at:end]
        try:
            values, others = _look(field)
        except (_UnusualError, IndexError):
            return
        if tuple(sorted(values, key=values.__getitem__)) in (_NAMES, _NAMES[:2]):
            alike = self._by_beginning.get(field[:_BEGINNING], [])
            alike.insert(0, Layout(field, values, others, progress=progress))
            del alike[_MOST_ALIKE:]
            _keep(self._by_beginning, field[:_BEGINNING], alike)


def _keep(forms: dict[bytes, _Form], beginning: bytes, form: _Form) -> None:
    if len(forms) >= _MOST_FORMS:
        # Proxies send few: what is sent still is soon here again.
        forms.clear()
    forms[beginning] = form


def record_at(body: bytes, at: int) -> tuple[int, int] | None:
    """Return where the record that begins there has its content, and its end; None for another field."""
    try:
        if body[at] != _LOG_RECORDS:
            return None
        size, start = _number(body, at + 1)
    except (_UnusualError, IndexError):
        return None
    return (start, start + size) if start + size <= len(body) else None


def _first(body: bytes) -> int:
    """Return where the first record begins, after which all is records of the one scope there is."""
    resource = _last(body, 0, _RESOURCE_LOGS, before=None)
    scope = _last(body, resource, _SCOPE_LOGS, before=_RESOURCE)
    if scope < len(body) and body[scope] == _SCOPE:
        size, start = _number(body, scope + 1)
        scope = start + size
    if scope > len(body):
        raise _UnusualError
    return scope


def _last(body: bytes, at: int, wanted: int, *, before: int | None) -> int:
    """Return where the field begins inside that ends with the body; another one may stand before it."""
    size, start = _number(body, at + 1)
    if body[at] == before and start + size < len(body):
        at = start + size
        size, start = _number(body, at + 1)
    if body[at] != wanted or start + size != len(body):
        raise _UnusualError
    return start


def _look(field: bytes) -> tuple[dict[bytes, _Span], list[_Span]]:
    """Return where the values are that are read, and where all is that may change beside them."""
    record = _only(field, _Span(0, len(field)), _LOG_RECORDS)
    values: dict[bytes, _Span] = {}
    others: list[_Span] = []
    for tag, span in _fields(field, record):
        if tag in _TIMES:
            others.append(span)
        elif tag == _ATTRIBUTES:
            name = field[slice(*_only(field, span, _KEY))]
            value = _only(field, _only(field, span, _VALUE), _STRING)
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
            size, at = _number(body, at)
        else:
            raise _UnusualError
        if tag >= _MORE or at + size > within.end:
            raise _UnusualError
        yield tag, _Span(at, at + size)
        at += size


def _number(body: bytes, at: int) -> tuple[int, int]:
    """Return a number of so many bytes at most, and where it ends."""
    number = 0
    for place in range(_LONGEST_NUMBER):
        byte = body[at + place]
        number |= (byte & (_MORE - 1)) << 7 * place
        if byte < _MORE:
            return number, at + place + 1
    raise _UnusualError
