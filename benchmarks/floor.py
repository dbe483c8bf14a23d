"""The floor: the least that an ASGI application can do, a fixed 200 with four headers and no body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

# The length is one of the four: without it uvicorn would announce a chunked body, which costs more.
_START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-length", b"0"),
        (b"x-auth-key-id", b"0123456789ab"),
        (b"x-auth-user-id", b"benchmark"),
        (b"x-ratelimit-remaining", b"999999"),
    ],
}
_BODY: Message = {"type": "http.response.body", "body": b""}


async def app(
    _scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer every request alike."""
    await send(_START)
    await send(_BODY)
