"""Collects a request head from the parser's callbacks."""

from __future__ import annotations

from extauth.server.connections import ConnectionLimits
from extauth.server.framing import FramingError
from extauth.server.refusals import Refusal


class HeadCollector:
    """What has come of the head that is being read: the part of a connection that httptools calls back."""

    __slots__ = ("_headers", "_in_head", "_longest", "_repeated", "_target")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._longest = limits.head_bytes
        self._begin_head()

    def _begin_head(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeated: list[bytes] = []
        self._in_head = False

    def on_url(self, url: bytes) -> None:
        """Collect the target, raw: it may come in pieces."""
        self._in_head = True
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header line.

        Repeated ones are joined by a comma, which no single credential has in it.
        """
        name = name.lower()
        headers = self._headers
        if name in headers:
            self._repeated.append(name)
            value = headers[name] + b"," + value
            # Joining thousands of lines would cost quadratic time.
            if len(value) > self._longest:
                raise FramingError(Refusal.HEAD_TOO_LARGE)
        headers[name] = value.rstrip()
