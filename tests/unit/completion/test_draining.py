"""The completion listener closes without losing a report that is on its way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from extauth.server import completion
from extauth.server.board import Board
from extauth.server.completion import CompletionListener, CompletionSockets
from tests.sockets.client import Client
from tests.waiting import eventually
from tests.world import open_world


def test_a_report_on_a_connection_that_was_just_taken_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection waited as the listener closed, and its first report comes a moment later."""
    # However slow the machine is.
    monkeypatch.setattr(completion, "_LINGER_SECONDS", 30.0)
    monkeypatch.setattr(completion, "_LAST_SECONDS", 60.0)

    async def scenario() -> None:
        async with open_world(tmp_path, listen={"completion": "127.0.0.1:0"}) as world:
            app = world.app
            sockets = CompletionSockets.bind(app.settings.listen.completion)
            listener = CompletionListener(app.settings, app, sockets, worker=0, board=Board.make(1))
            with Client(sockets.listener.getsockname()) as client:
                draining = asyncio.create_task(listener.drain())
                await eventually(lambda: listener.connections.draining)
                client.send(b"POST /done HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\nrid=r-1")
                await draining
                assert client.socket.recv(4096).startswith(b"HTTP/1.1 204 ")
            assert app.signals.done == 1

    uvloop.run(scenario())
