"""A client that speaks just enough HTTP/2 (RFC 9113) to have several requests at once and cancel one."""

from __future__ import annotations

import socket
import struct
from typing import Self

from .http1 import HOST

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_CANCEL = 8


class Http2:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=5)
        self._file = self._socket.makefile("rb")
        self._last = -1

    def __enter__(self) -> Self:
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, target: str, headers: list[tuple[str, str]]) -> int:
        """Send a GET and return its stream."""
        self._last += 2
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", target)]
        block = b"".join(_literal(name.lower(), value) for name, value in [*fields, *headers])
        self._socket.sendall(_frame(_HEADERS, _END_STREAM | _END_HEADERS, self._last, block))
        return self._last

    def cancel(self, stream: int) -> None:
        """Have no more of a stream."""
        self._socket.sendall(_frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))

    def read_to_the_end(self, stream: int) -> bytes:
        """Read the body of a stream's answer."""
        body = b""
        while True:
            kind, flags, of, payload = self._read()
            if kind == _SETTINGS and not flags & _ACK:
                self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
            assert kind not in {_RST_STREAM, _GOAWAY}
            if of != stream or kind not in {_DATA, _HEADERS}:
                continue
            body += payload if kind == _DATA else b""
            if flags & _END_STREAM:
                return body

    def _read(self) -> tuple[int, int, int, bytes]:
        head = self._file.read(9)
        assert len(head) == 9, "the connection ended"
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        return head[3], head[4], stream, self._file.read(int.from_bytes(head[:3], "big"))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """Return a header field that is neither indexed nor Huffman-coded (RFC 7541 section 6.2.2)."""
    assert max(len(name), len(value)) < 127
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))
