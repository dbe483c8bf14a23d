"""Runs the listeners on uvicorn in one event loop: sockets, signals, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from extauth import __version__
from extauth.admin.app import admin_app
from extauth.app import App, open_app
from extauth.errors import ConfigError
from extauth.server.asgi import CheckApp
from extauth.server.connections import SWEEP_EVERY_SECONDS, ConnectionLimits, Connections
from extauth.server.protocol import CheckProtocol
from extauth.settings.model import Address, Settings
from extauth.telemetry.collector import collector_for
from extauth.telemetry.lines import LineWriter
from extauth.telemetry.logs import configure_logging

BACKLOG = 2_048
# How long checks under way may take to finish once the server is told to stop, in seconds.
SHUTDOWN_SECONDS = 5


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError and StoreError where it can't start."""
    uvloop.run(_serve(settings))


class _Server(uvicorn.Server):
    """A uvicorn server beside others: the process's signals are handled once, by `_serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        lines = LineWriter(_log_descriptor(settings.log.file))
        configure_logging(lines, level=settings.log.level)
        stack.push_async_callback(lines.close)
        _spawn(stack, lines.run())
        check_socket = _bind("listen.check", settings.listen.check)
        admin_socket = _bind("listen.admin", settings.listen.admin)
        app = await stack.enter_async_context(open_app(settings, lines=lines))
        # What was made so far lives as long as the process: the collector needn't stop checks to look at it.
        gc.freeze()
        connections = _connections(settings, app)
        _spawn(stack, _sweep(connections))
        servers = (
            (_check_server(app, connections), check_socket),
            (_admin_server(app, connections, lines), admin_socket),
        )
        _stop_on_signal([server for server, _ in servers])
        log = structlog.get_logger("extauth")
        log.info(
            "started",
            version=__version__,
            check=_name(check_socket),
            admin=_name(admin_socket),
            pid=os.getpid(),
        )
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
        log.info("stopped")


def _connections(settings: Settings, app: App) -> Connections:
    listen = settings.listen
    limits = ConnectionLimits(
        connections=listen.max_connections,
        idle_seconds=listen.idle_timeout.total_seconds(),
        head_seconds=listen.head_timeout.total_seconds(),
    )
    return Connections(limits, now=time.monotonic(), afterwards=app.recorder.flush)


async def _sweep(connections: Connections) -> None:
    while True:
        connections.sweep(time.monotonic(), time.time())
        await asyncio.sleep(SWEEP_EVERY_SECONDS)


def _check_server(app: App, connections: Connections) -> _Server:
    def connect(*, server_state: Any, **_unused: Any) -> CheckProtocol:
        return CheckProtocol(responder=app.responder, connections=connections, server_state=server_state)

    protocol: Callable[..., asyncio.Protocol] = connect
    return _Server(
        uvicorn.Config(
            CheckApp(app.responder),
            http=protocol,  # type: ignore[arg-type]  # uvicorn only calls it
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def _admin_server(app: App, connections: Connections, lines: LineWriter) -> _Server:
    registry = CollectorRegistry()
    registry.register(collector_for(app, connections, lines))
    registry.register(app.admin.counts)
    routes = app.admin.routes()
    return _Server(
        uvicorn.Config(
            admin_app(health=app.health, registry=registry, counts=app.counts, routes=routes),
            http="httptools",
            # The audit log names who is connected, not who they claim to be.
            proxy_headers=False,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def _bind(setting: str, address: Address) -> socket.socket:
    """Take the address before anything else is opened. Raises ConfigError, naming the setting to change."""
    try:
        if address.is_unix:
            return _bind_unix(Path(address.path))
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
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


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket() and not _is_answered(path):
            path.unlink()  # left behind by a server that was killed
    listener.bind(str(path))
    # Proxies run as other users; who may connect is decided by the directory.
    path.chmod(0o666)
    return listener


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


def _name(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, tuple):
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
    return f"unix:{name}"


def _log_descriptor(file: Path | None) -> int:
    if file is None:
        return sys.stdout.fileno()
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as error:
        raise ConfigError([f"log.file: can't open {file}: {error.strerror}"]) from error


def _stop_on_signal(servers: list[_Server]) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _spawn(stack: AsyncExitStack, work: Any) -> None:
    task = asyncio.create_task(work)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
