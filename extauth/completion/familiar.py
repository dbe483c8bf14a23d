"""The head that a connection sent last, behind which only the body is new.

A proxy sends its signals with the same head each time, and parsing that costs more than all the rest. Where
llhttp has read a head, and this service has found it good, the same bytes are good again. That is exact: a
head is learnt only if what follows is read here as llhttp read it, and only two forms of a body are: as long
as the head says, or one chunk and the last one. All else is parsed.
"""

from __future__ import annotations

from typing import NamedTuple, Self

_HEAD_END = b"\r\n\r\n"
_LINE_END = b"\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_LONGEST_HEAD = 4_096
# Hexadecimal digits of the length of a chunk that is looked at, and the line's end.
_SIZE_LINE = 10


class FamiliarHead(NamedTuple):
    """A head that was read before; `length` is that of its body, None where that comes in chunks."""

    head: bytes
    length: int | None
    otlp: bool

    @classmethod
    def learn(cls, read: bytes, body: bytes, *, otlp: bool) -> Self | None:
        """Return the head of a read that began and ended with one request, which had this body."""
        end = read.find(_HEAD_END) + len(_HEAD_END)
        head = read[:end]
        usual = head.startswith(b"POST /") and head.count(b"\n") == head.count(_LINE_END)
        if not body or not usual or end > _LONGEST_HEAD:
            return None
        return next(
            (
                familiar
                for familiar in (cls(head, None, otlp), cls(head, len(body), otlp))
                if familiar.recall(read) == body
            ),
            None,
        )

    def recall(self, read: bytes) -> bytes | None:
        """Return the body in a read that is exactly one request with this head."""
        head, length, _ = self
        if not read.startswith(head):
            return None
        start = len(head)
        if length is not None:
            return read[start:] if len(read) == start + length else None
        line = read.find(_LINE_END, start, start + _SIZE_LINE)
        body = read[line + 2 : -len(_LAST_CHUNK)]
        if line < 0 or not body or not read.endswith(_LAST_CHUNK) or read[start:line] != b"%x" % len(body):
            return None
        return body
