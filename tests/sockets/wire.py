"""Requests as bytes, and a reader of answers that forgives nothing. It knows no socket and no server."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

HOST = "api.example"
_HEAD_END = b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [A-Za-z' -]+")
_HEADER_LINE = re.compile(rb"([a-z0-9-]+): ?([\t\x20-\x7e]*)")


class Answer(NamedTuple):
    """One answer as it stands on the wire; header names are sent in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the one value of that name, None where there is none; two lines are an AssertionError."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} stands twice: {values}"
        return values[0] if values else None

    def problem(self) -> dict[str, Any]:
        """Return the problem body (RFC 9457); an AssertionError if it is none or names another status."""
        assert self.header("content-type") == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        return problem

    @property
    def ends_connection(self) -> bool:
        """Say whether the answer announces the end of the connection."""
        return self.header("connection") == "close"


def request(
    target: str = "/envoy/any",
    *lines: str,
    method: str = "GET",
    version: str = "HTTP/1.1",
    host: str | None = HOST,
    body: bytes = b"",
) -> bytes:
    """Return a request; `lines` are header lines as they are to be sent. A body does not announce itself."""
    hosts = () if host is None else (f"Host: {host}",)
    head = "\r\n".join([f"{method} {target} {version}", *hosts, *lines, "", ""])
    return head.encode("latin-1") + body


def with_key(key: str) -> str:
    """Return the header line that carries a key."""
    return f"X-API-Key: {key}"


def chunked(*chunks: bytes, trailers: Sequence[str] = (), extension: str = "") -> bytes:
    """Return a body in chunks (RFC 9112 section 7.1), with an extension on each of them."""
    parts = [f"{len(chunk):x}{extension}\r\n".encode() + chunk + b"\r\n" for chunk in chunks]
    return b"".join([*parts, "\r\n".join([f"0{extension}", *trailers, "", ""]).encode("latin-1")])


def read_answer(data: bytes, method: str = "GET") -> tuple[Answer, bytes] | None:
    """Return the first answer in the data and what follows it, None where it is not complete yet."""
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    status_line, *lines = data[:end].split(b"\r\n")
    status = _STATUS_LINE.fullmatch(status_line)
    assert status is not None, f"no status line: {status_line!r}"
    answer = Answer(int(status[1]), tuple(_header(line) for line in lines), b"")
    length = 0 if method == "HEAD" else int(_needed(answer, "content-length"))
    rest = data[end + len(_HEAD_END) :]
    if len(rest) < length:
        return None
    assert _needed(answer, "date"), "an answer without a date"
    return answer._replace(body=rest[:length]), rest[length:]


def read_answers(data: bytes, methods: Sequence[str] = ()) -> list[Answer]:
    """Return all answers in the data, to requests of these methods, then GET; a rest is an error."""
    answers: list[Answer] = []
    while data:
        method = methods[len(answers)] if len(answers) < len(methods) else "GET"
        found = read_answer(data, method)
        assert found is not None, f"no whole answer: {data[:200]!r}"
        answer, data = found
        answers.append(answer)
    return answers


def _header(line: bytes) -> tuple[str, str]:
    match = _HEADER_LINE.fullmatch(line)
    assert match is not None, f"no header line: {line!r}"
    return match[1].decode(), match[2].decode()


def _needed(answer: Answer, name: str) -> str:
    value = answer.header(name)
    assert value is not None, f"an answer without {name}"
    return value
