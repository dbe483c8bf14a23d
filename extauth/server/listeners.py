"""The listeners: how their addresses are taken, and the uvicorn server of the one for admin."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from extauth.app import App
from extauth.clock import MICROSECONDS, Clock
from extauth.errors import ConfigError
from extauth.server.accepting import Acceptor
from extauth.server.board import Board
from extauth.server.connections import SWEEP_EVERY_SECONDS, ConnectionLimits, Connections
from extauth.server.protocol import CheckProtocol
from extauth.settings.model import Address, Settings

BACKLOG = 2_048
# How long requests of the admin listener may take to finish once it is told to stop, in seconds.
_ADMIN_SECONDS = 2


class Server(uvicorn.Server):
    """A uvicorn server beside others: the process's signals are handled once, by who runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def connections_for(settings: Settings, app: App) -> Connections:
    """Return what holds the connections of a check listener."""
    return Connections(limits_of(settings), now=time.monotonic(), afterwards=app.recorder.flush)


def limits_of(settings: Settings) -> ConnectionLimits:
    """Return how much one client may ask of a listener."""
    listen = settings.listen
    return ConnectionLimits(
        connections=listen.max_connections,
        idle_seconds=listen.idle_timeout.total_seconds(),
        head_seconds=listen.head_timeout.total_seconds(),
    )


async def sweep(connections: Connections, clock: Clock) -> None:
    """Sweep again and again until cancelled."""
    while True:
        connections.sweep(time.monotonic(), clock.now_us() / MICROSECONDS)
        await asyncio.sleep(SWEEP_EVERY_SECONDS)


def accept_checks(
    listener: socket.socket, app: App, connections: Connections, *, worker: int, board: Board
) -> Acceptor:
    """Take connections of proxies from now on. `board` is how the workers of a server share them evenly."""
    acceptor = Acceptor(
        listener,
        worker=worker,
        board=board,
        connections=connections,
        connect=lambda: CheckProtocol(responder=app.responder, connections=connections),
    )
    acceptor.start(BACKLOG)
    return acceptor


def admin_server(application: ASGIApp, settings: Settings) -> Server:
    """Return the server of the admin listener."""
    return Server(
        uvicorn.Config(
            application,
            http="httptools",
            # The audit log names who is connected, not who they claim to be.
            proxy_headers=False,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=round(settings.listen.idle_timeout.total_seconds()),
            timeout_graceful_shutdown=_ADMIN_SECONDS,
        )
    )


def bind(setting: str, address: Address, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Take the address before anything else is opened. Raises ConfigError, naming the setting to change."""
    try:
        if address.is_unix:
            return _bind_unix(Path(address.path), kind)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listener = socket.socket(family, kind)
        # Of datagrams, for which no connection lingers, it would let a second server take the address too.
        if kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
    except OSError as error:
        variable = f"EXTAUTH_{setting.replace('.', '__').upper()}"
        raise ConfigError(
            [
                (
                    f"{setting}: can't listen on {address}: {error.strerror}; "
                    f"set another address there or in {variable}"
                )
            ]
        ) from error
    return listener


def _bind_unix(path: Path, kind: socket.SocketKind) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, kind)
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket() and not _is_answered(path, kind):
            path.unlink()  # left behind by a server that was killed
    listener.bind(str(path))
    # Proxies run as other users; who may connect is decided by the directory.
    path.chmod(0o666)
    return listener


def _is_answered(path: Path, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


def name_of(listener: socket.socket) -> str:
    """Return the address that was taken."""
    name = listener.getsockname()
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return f"unix:{name}"
