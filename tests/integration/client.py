"""A raw-socket HTTP/1.1 client with keep-alive: tests send and see exactly what stands on the wire."""

from __future__ import annotations

import json
import select
import socket
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

Headers = Iterable[tuple[str, str]]

_TIMEOUT = 8.0
HOST = "api.example.com"


class Response(NamedTuple):
    """One answer as received; header names in lower case, in the order of the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of all lines of that name."""
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """Return the one value of that name, None where there is none; two lines are an AssertionError."""
        values = self.all(name)
        assert len(values) < 2, f"{name} stands twice: {values}"
        return values[0] if values else None

    def names(self, *prefixes: str) -> list[str]:
        """Return the header names that begin with one of the prefixes."""
        return [key for key, _ in self.headers if key.startswith(prefixes)]

    def problem(self) -> dict[str, Any]:
        """Return the problem body (RFC 9457); an AssertionError if it isn't one or names another status."""
        assert self.header("content-type") == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem


class Connection:
    """One kept-alive connection to a proxy on the loopback interface, over TLS where a context is given."""

    def __init__(self, port: int, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection(
            ("127.0.0.1", port), timeout=_TIMEOUT, source_address=(source, 0)
        )
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def request(
        self, target: str = "/", *, method: str = "GET", headers: Headers = (), body: bytes = b""
    ) -> Response:
        """Send one request and return its answer."""
        self.send(target, method=method, headers=headers, body=body)
        return self.receive(method)

    def send(
        self, target: str = "/", *, method: str = "GET", headers: Headers = (), body: bytes = b""
    ) -> None:
        """Send one request; the target goes out byte for byte (latin-1)."""
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {HOST}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def send_body(self, body: bytes) -> None:
        """Send bytes as they are, such as the body of a request whose head is already out."""
        self._socket.sendall(body)

    def is_answered(self, *, within: float) -> bool:
        """Tell whether an answer begins within so many seconds."""
        return bool(select.select([self._socket], [], [], within)[0])

    def receive(self, method: str = "GET") -> Response:
        """Read one answer to a request of that method; an AssertionError if the connection ends first."""
        status = int(self._line().split(b" ", 2)[1])
        headers = tuple(self._headers())
        response = Response(status, headers, b"")
        if method == "HEAD" or status in {204, 304}:
            return response
        if response.header("transfer-encoding") == "chunked":
            return response._replace(body=b"".join(self._chunks()))
        return response._replace(body=self._file.read(int(response.header("content-length") or 0)))

    def _line(self) -> bytes:
        line = self._file.readline()
        assert line.endswith(b"\r\n"), f"the connection ended after {line!r}"
        return line[:-2]

    def _headers(self) -> Iterable[tuple[str, str]]:
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def _chunks(self) -> Iterable[bytes]:
        while size := int(self._line(), 16):
            yield self._file.read(size)
            self._line()
        self._line()


def request(
    port: int, target: str = "/", *, method: str = "GET", headers: Headers = (), body: bytes = b""
) -> Response:
    """Send one request on a connection of its own."""
    with Connection(port) as connection:
        return connection.request(target, method=method, headers=headers, body=body)
