"""Runs the service: in this process alone, or as the supervisor of several workers."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from extauth import __version__
from extauth.admin.app import admin_app
from extauth.app import open_app
from extauth.clock import SystemClock
from extauth.server.listeners import admin_server, bind, check_server, connections_for, name_of, sweep
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
    """Run both listeners in one event loop."""
    async with AsyncExitStack() as stack:
        lines = open_lines(stack, settings)
        check_socket = bind("listen.check", settings.listen.check)
        admin_socket = bind("listen.admin", settings.listen.admin)
        app = await stack.enter_async_context(open_app(settings, lines=lines))
        # What was made so far lives as long as the process: the collector needn't stop checks to look at it.
        gc.freeze()
        connections = connections_for(settings, app)
        spawn(stack, sweep(connections, SystemClock()))
        spawn(stack, source.watch.run(Reloader(app, source.load).reload))
        registry = CollectorRegistry()
        registry.register(collector_for(app, connections, lines))
        registry.register(app.admin.counts)
        registry.register(app.reloads)
        admin = admin_app(health=app.health, registry=registry, counts=app.counts, routes=app.admin.routes())
        servers = ((check_server(app, connections), check_socket), (admin_server(admin), admin_socket))

        def stop() -> None:
            for server, _ in servers:
                server.should_exit = True

        stop_on_signal(stop)
        log = structlog.get_logger("extauth")
        log.info(
            "started",
            version=__version__,
            check=name_of(check_socket),
            admin=name_of(admin_socket),
            pid=os.getpid(),
        )
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
        log.info("stopped")
