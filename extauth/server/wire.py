"""An answer as HTTP/1.1 bytes."""

from __future__ import annotations

from http import HTTPStatus

from extauth.dialects.base import Answer
from extauth.server.framing import Framing

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_NO_BODY = b"content-length: 0\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"


def to_bytes(answer: Answer, method: bytes, framing: Framing, date_line: bytes) -> bytes:
    """Return the whole answer; to HEAD the same without its body (RFC 9110 section 9.3.2)."""
    status, head, body = answer
    if framing.last:
        head += _CLOSE
    elif framing.old:
        head += _KEEP
    length = b"content-length: %d\r\n\r\n" % len(body) if body else _NO_BODY
    if method == b"HEAD":
        body = b""
    return b"".join((_STATUS_LINES[status], date_line, head, length, body))
