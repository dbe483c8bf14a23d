"""What a request head must be like beyond what llhttp checks, and what follows for the connection."""

from __future__ import annotations

from typing import NamedTuple

from extauth.dialects.base import RequestHead
from extauth.server.connections import ConnectionLimits
from extauth.server.refusals import Refusal


class FramingError(Exception):
    """The request is no check; raised inside the parser's callbacks, where it stops the parser."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


class Framing(NamedTuple):
    """How a request lies in its connection.

    `last`: the connection ends after its answer. `old`: HTTP/1.0, to which staying open is said. `unread`:
    bytes may follow that nobody will read.
    """

    last: bool = False
    old: bool = False
    unread: bool = False


class FramedRequest(NamedTuple):
    """A request with its whole head read."""

    head: RequestHead
    framing: Framing


def examine(
    head: RequestHead, limits: ConnectionLimits, *, version: str, keep_alive: bool, upgrade: bool
) -> Framing:
    """Look at a head closely.

    Raises FramingError where it is too large, or where two parsers could disagree about its end.
    """
    headers = head.headers
    if len(headers) + len(head.repeated) > limits.head_lines or _head_size(head) > limits.head_bytes:
        raise FramingError(Refusal.HEAD_TOO_LARGE)
    old = version == "1.0"
    # RFC 9112 section 3.2: exactly one Host, which only HTTP/1.0 may lack.
    if not (old or (version == "1.1" and b"host" in headers)) or b"host" in head.repeated:
        raise FramingError(Refusal.BAD_REQUEST)
    encoding = headers.get(b"transfer-encoding")
    if encoding is not None and (old or encoding.lower() != b"chunked"):
        raise FramingError(Refusal.BAD_REQUEST)
    # Nobody needs a body here, so one ends the connection: then no byte of it, nor of a trailer, nor the
    # doubt whether it follows after all ("Expect: 100-continue"), can be taken for the next request.
    has_body = int(headers.get(b"content-length", b"0")) > 0 or encoding is not None
    unread = has_body or upgrade
    return Framing(last=unread or not keep_alive, old=old, unread=unread)


def _head_size(head: RequestHead) -> int:
    return len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers.items())
