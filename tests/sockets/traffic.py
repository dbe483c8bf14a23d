"""What may be sent on one connection, and what of it must be answered: a model for the tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import strategies as st

from . import malformed
from .wire import chunked, request

_INNER = request("/envoy/smuggled", "X-Request-Id: smuggled")


class Message(NamedTuple):
    """One request; `{number}` in it tells it from the others. `last`: nothing behind it may be read.

    `kind` says who asks: "allowed", "missing", "scope", "spent", "nobody" or "malformed".
    """

    data: bytes
    kind: str
    method: str = "GET"
    last: bool = False


def _message(
    kind: str,
    *lines: str,
    method: str = "GET",
    path: str = "any",
    version: str = "HTTP/1.1",
    body: bytes = b"",
    last: bool = False,
) -> Message:
    key = {
        "allowed": ["X-API-Key: {valid}"],
        "scope": ["X-API-Key: {valid}"],
        "spent": ["X-API-Key: {spent}"],
    }
    target = (
        f"/{'elsewhere' if kind == 'nobody' else 'envoy'}/{'scoped' if kind == 'scope' else path}/{{number}}"
    )
    every = ["X-Request-Id: {number}", *key.get(kind, []), *lines]
    return Message(
        request(target, *every, method=method, version=version, body=body), kind, method, last=last
    )


_KEPT = [
    *(_message(kind) for kind in ("allowed", "missing", "scope", "spent", "nobody")),
    *(_message(kind, method="HEAD") for kind in ("allowed", "missing", "nobody")),
    _message("allowed", "Content-Length: 0", method="POST"),
    _message("missing", "Connection: keep-alive"),
    _message("allowed", "Connection: keep-alive", version="HTTP/1.0"),
    _message("missing", "Expect: 100-continue"),
    _message("allowed", "Upgrade: h2c"),
    _message("missing", f"X-Long: {'v' * 3_000}"),
    _message("allowed", *(f"X-{number}: \t{number} " for number in range(40))),
    _message("missing", "X-Same: 1", "X-Same: 2"),
    Message(b"\r\n" + _message("missing").data, "missing"),
]
_LAST = [
    _message("allowed", "Connection: close", last=True),
    _message("missing", "Connection: close", method="HEAD", last=True),
    _message("allowed", version="HTTP/1.0", last=True),
    _message("missing", "Connection: Upgrade", "Upgrade: websocket", last=True),
    _message("missing", f"Content-Length: {len(_INNER)}", method="POST", body=_INNER, last=True),
    _message("allowed", f"Content-Length: {len(_INNER)}", method="POST", body=_INNER, last=True),
    _message("scope", "Transfer-Encoding: chunked", method="POST", body=chunked(_INNER, b"more"), last=True),
    _message(
        "missing",
        "Transfer-Encoding: chunked",
        body=chunked(_INNER, trailers=["X-API-Key: {valid}"]),
        last=True,
    ),
    _message("missing", "Transfer-Encoding: chunked", body=b"no size\r\n", last=True),
    _message("missing", "Expect: 100-continue", "Content-Length: 5", last=True),
]
# Heads of these are as large as they may be, or larger: their refusal depends on sizes that a test may set.
_SIZED = {"Content-Length: of five thousand digits"}
_MALFORMED = [
    Message(data, "malformed", last=True) for name, data in malformed.REQUESTS.items() if name not in _SIZED
]


def conversations() -> st.SearchStrategy[list[Message]]:
    """Return what one client may send on one connection, with or without a last message somewhere in it."""
    kept = st.lists(st.sampled_from(_KEPT), max_size=12)
    last = st.lists(st.sampled_from(_LAST + _MALFORMED), max_size=1)
    behind = st.lists(st.sampled_from(_KEPT), max_size=3)
    return st.tuples(kept, last, behind).map(lambda parts: [*parts[0], *parts[1], *parts[2]])


def written(messages: Iterable[Message], *, valid: str, spent: str) -> bytes:
    """Return a conversation as bytes, each message numbered, with these keys in it."""
    names = {b"{valid}": valid.encode(), b"{spent}": spent.encode()}
    parts = []
    for number, message in enumerate(messages):
        data = message.data.replace(b"{number}", b"n%d" % number)
        for name, key in names.items():
            data = data.replace(name, key)
        parts.append(data)
    return b"".join(parts)


def answered(messages: Iterable[Message]) -> list[Message]:
    """Return those messages that get an answer: all up to the last one."""
    found = []
    for message in messages:
        found.append(message)
        if message.last:
            break
    return found


def pieces(data: bytes, cuts: Iterable[float]) -> list[bytes]:
    """Cut data into pieces, at these fractions of its length."""
    positions = sorted({round(cut * len(data)) for cut in cuts} - {0, len(data)})
    return [data[start:end] for start, end in zip([0, *positions], [*positions, len(data)], strict=True)]
