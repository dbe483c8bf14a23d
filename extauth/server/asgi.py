"""The check as an ASGI application, for tests and for other servers.

It answers byte for byte like `protocol.py`, only slower.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from extauth.dialects.base import Answer, RequestHead
from extauth.server.responder import Responder

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class CheckApp:
    """Answers ASGI's http scopes.

    It needs `raw_path`, which the specification leaves optional but every server gives.
    """

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. The body is not read: nothing depends on it."""
        if scope["type"] == "lifespan":
            await _acknowledge_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"a check can't be asked over {scope['type']}")
        answer = self._responder.respond(_head(scope))
        if not isinstance(answer, Answer):
            answer = await self._responder.finish(answer)
        headers = _header_pairs(answer.head)
        headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})


def _head(scope: Scope) -> RequestHead:
    headers, repeated = _join_repeated(scope["headers"])
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    return RequestHead(scope["method"].encode("latin-1"), target, headers, repeated)


def _join_repeated(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], list[bytes]]:
    headers: dict[bytes, bytes] = {}
    repeated: list[bytes] = []
    for name, padded in pairs:
        # Not every server takes off the white space around a value (RFC 9110 section 5.5).
        value = padded.strip(b" \t")
        if name in headers:
            repeated.append(name)
            headers[name] += b"," + value
        else:
            headers[name] = value
    return headers, repeated


def _header_pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, _, value in (line.partition(b": ") for line in block.split(b"\r\n")[:-1])]


async def _acknowledge_lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
