"""Runs the service: in this process alone, or as the supervisor of several workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from extauth.app import App, open_app
from extauth.clock import SystemClock
from extauth.completion.datagrams import KernelDrops
from extauth.server.admin import admin_listener
from extauth.server.board import Board
from extauth.server.completion import listen_for_completions
from extauth.server.draining import Drain, Patience, Stop, until_stopped
from extauth.server.garbage import LongLived
from extauth.server.listeners import Server, accept_checks, admin_server, connections_for, sweep
from extauth.server.process import on_hangup, open_lines, spawn
from extauth.server.reloading import ConfigSource, Reloader
from extauth.server.sockets import Sockets, announce
from extauth.server.supervisor import supervise
from extauth.server.systemd import Handed, Notifier, take_notifier, take_sockets
from extauth.settings.model import Settings
from extauth.telemetry.collector import collector_for


def serve(settings: Settings, *, config: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError and StoreError where it can't start.

    `config` is the file that the command line named: settings are loaded again as these were.
    """
    handed = take_sockets(os.environ, process_id=os.getpid())
    notifier = take_notifier(os.environ)
    uvloop.run(_serve(settings, config, handed, notifier))


async def _serve(
    settings: Settings, config: Path | None, handed: Sequence[Handed], notifier: Notifier
) -> None:
    source = ConfigSource(config)
    on_hangup(source.watch.ask)
    sockets = Sockets.take(settings.listen, handed)
    run = _serve_alone if settings.workers == 1 else supervise
    await run(settings, source, sockets, notifier)


async def _serve_alone(
    settings: Settings, source: ConfigSource, sockets: Sockets, notifier: Notifier
) -> None:
    """Run all listeners in one event loop."""
    async with AsyncExitStack() as stack:
        lines = open_lines(stack, settings)
        patience = Patience.of(settings.listen.drain)
        # Before anything is opened: whoever is told to stop meanwhile lets go of it in order.
        stop = Stop.on_signal()
        opening = open_app(
            settings, lines=lines, patience_seconds=patience.whole if sockets.check_is_held else 0.0
        )
        app = await stop.unless_asked(stack.enter_async_context(opening))
        if app is None:
            return
        long_lived = LongLived()
        long_lived.begin()
        spawn(stack, long_lived.run())
        connections = connections_for(settings, app)
        spawn(stack, sweep(connections, SystemClock()))
        completion = listen_for_completions(
            stack, settings, app, sockets.completion, worker=0, board=Board.make(1)
        )
        app.signals.dropped = KernelDrops(sockets.completion.datagrams).total
        spawn(stack, source.watch.run(Reloader(app, source.load, notifier=notifier).reload))
        collector = collector_for(app, connections, lines, completion=completion.connections)
        admin = _admin_server(app, collector)
        async with asyncio.TaskGroup() as group:
            group.create_task(admin.serve(sockets=[sockets.admin]))
            acceptor = accept_checks(sockets.check, app, connections, worker=0, board=Board.make(1))
            announce(sockets, sockets.names(), notifier)
            await until_stopped(stop, app, notifier, patience)
            drain = Drain(acceptor, connections, app.leases, patience, held=sockets.check_is_held)
            await drain.run(stop)
            # Not before all checks are answered: those that wait for a slot wait for signals.
            await completion.drain()
            admin.should_exit = True
        structlog.get_logger("extauth").info("stopped")


def _admin_server(app: App, collector: Collector) -> Server:
    registry = CollectorRegistry()
    for each in (collector, app.admin.counts, app.reloads):
        registry.register(each)
    return admin_server(admin_listener(app, health=app.health, registry=registry), app.settings)
