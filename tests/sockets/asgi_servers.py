"""`CheckApp` under two ASGI servers in this process: uvicorn's own, and one that only builds scopes."""

from __future__ import annotations

from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from extauth.server.asgi import CheckApp

from .in_process import Listener, Transport


def ask_under_uvicorn(listener: Listener, data: bytes) -> bytes:
    """Return what uvicorn writes after it has read the data."""
    config = Config(
        CheckApp(listener.responder),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )

    protocol = HttpToolsProtocol(config, ServerState(), {}, _loop=listener.loop)
    transport = Transport(protocol, listener.loop)
    listener.turn(protocol.connection_made, transport)
    listener.turn(protocol.data_received, data)
    listener.turn()
    written = transport.written
    listener.turn(transport.abort)
    return written


async def ask_by_scope(app: CheckApp, scope: dict[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return what the application answers to one scope: status, headers and body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(event: Any) -> None:
        sent.append(event)

    await app(scope, receive, send)
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert {event["type"] for event in bodies} == {"http.response.body"}
    assert not bodies[-1].get("more_body", False)
    return start["status"], start["headers"], b"".join(event["body"] for event in bodies)
