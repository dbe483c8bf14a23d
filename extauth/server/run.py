"""Runs the service: in this process alone, or as the supervisor of several workers."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from extauth import __version__
from extauth.app import App, open_app
from extauth.clock import SystemClock
from extauth.completion.datagrams import KernelDrops
from extauth.server.admin import admin_listener
from extauth.server.board import Board
from extauth.server.completion import CompletionSockets, listen_for_completions
from extauth.server.listeners import Server, admin_server, bind, check_server, connections_for, name_of, sweep
from extauth.server.process import on_hangup, open_lines, spawn, stop_on_signal
from extauth.server.reloading import ConfigSource, Reloader
from extauth.server.supervisor import supervise
from extauth.settings.model import Settings
from extauth.telemetry.collector import collector_for


def serve(settings: Settings, *, config: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError and StoreError where it can't start.

    `config` is the file that the command line named: settings are loaded again as these were.
    """
    uvloop.run(_serve(settings, config))


async def _serve(settings: Settings, config: Path | None) -> None:
    source = ConfigSource(config)
    on_hangup(source.watch.ask)
    await (_serve_alone(settings, source) if settings.workers == 1 else supervise(settings, source))


async def _serve_alone(settings: Settings, source: ConfigSource) -> None:
    """Run all listeners in one event loop."""
    async with AsyncExitStack() as stack:
        lines = open_lines(stack, settings)
        check_socket = bind("listen.check", settings.listen.check)
        admin_socket = bind("listen.admin", settings.listen.admin)
        signal_sockets = CompletionSockets.bind(settings.listen.completion)
        app = await stack.enter_async_context(open_app(settings, lines=lines))
        # What was made so far lives as long as the process: the collector needn't stop checks to look at it.
        gc.freeze()
        connections = connections_for(settings, app)
        spawn(stack, sweep(connections, SystemClock()))
        completion = listen_for_completions(
            stack, settings, app, signal_sockets, worker=0, board=Board.make(1)
        )
        app.signals.dropped = KernelDrops(signal_sockets.datagrams).total
        spawn(stack, source.watch.run(Reloader(app, source.load).reload))
        collector = collector_for(app, connections, lines, completion=completion.connections)
        servers = {
            check_server(app, connections): check_socket,
            _admin_server(app, collector): admin_socket,
        }
        _stop_on_signal(app, servers)
        log = structlog.get_logger("extauth")
        log.info(
            "started",
            version=__version__,
            check=name_of(check_socket),
            admin=name_of(admin_socket),
            completion=name_of(signal_sockets.listener),
            pid=os.getpid(),
        )
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers.items()))
        # Not before all checks are answered: those that wait for a slot wait for signals.
        completion.close()
        log.info("stopped")


def _stop_on_signal(app: App, servers: Iterable[Server]) -> None:
    def stop() -> None:
        app.dashboard.close()
        for server in servers:
            server.should_exit = True

    stop_on_signal(stop)


def _admin_server(app: App, collector: Collector) -> Server:
    registry = CollectorRegistry()
    for each in (collector, app.admin.counts, app.reloads):
        registry.register(each)
    return admin_server(admin_listener(app, health=app.health, registry=registry), app.settings)
