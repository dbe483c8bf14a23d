"""The process above several workers: it takes the sockets, answers on the admin listener, and checks nothing.

The workers are fresh interpreters that inherit the listening socket for checks. All of them accept from the
one socket, which this process keeps open: connections that wait there survive a worker.
"""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import AsyncExitStack

import structlog
from prometheus_client import CollectorRegistry

from extauth.app import App, open_app
from extauth.completion.datagrams import KernelDrops
from extauth.server.admin import admin_listener
from extauth.server.board import Board
from extauth.server.draining import Patience, Stop, until_stopped
from extauth.server.fleet import Fleet, FleetHealth
from extauth.server.listeners import Server, admin_server, connections_for
from extauth.server.process import open_lines, spawn
from extauth.server.reloading import ConfigSource, Reloader
from extauth.server.reports import SummedCollector, Totals
from extauth.server.slot import Shared
from extauth.server.sockets import Sockets, announce
from extauth.server.systemd import Notifier
from extauth.settings.model import Settings
from extauth.telemetry.collector import collector_for
from extauth.telemetry.lines import LineWriter


async def supervise(settings: Settings, source: ConfigSource, sockets: Sockets, notifier: Notifier) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError and StoreError where it or all workers can't start."""
    workers = settings.workers
    async with AsyncExitStack() as stack:
        board = Board.make(workers)
        lines = open_lines(stack, settings, turn=board.turn)
        app = await stack.enter_async_context(open_app(settings, lines=lines, trims_audit=False))
        # Each worker would count the same drops: it is one socket.
        app.signals.dropped = KernelDrops(sockets.completion.datagrams).total
        gc.freeze()
        totals = Totals()
        shared = Shared(
            settings=share_of(settings, processors=os.cpu_count() or 1),
            listener=sockets.check,
            is_held=sockets.check_is_held,
            board=board,
            completion=sockets.completion,
            completion_board=Board.make(workers),
            totals=totals,
            stopping=asyncio.Event(),
        )
        fleet = Fleet(workers, shared)
        stack.push_async_callback(fleet.close)
        admin = _admin_server(app, fleet, totals, lines)
        names = sockets.names()
        stop = Stop.on_signal()
        spawn(stack, _end_on_signal(stop, fleet, app, notifier))
        await fleet.start()

        async def hand_on(settings: Settings) -> None:
            await fleet.go_by(share_of(settings, processors=os.cpu_count() or 1))

        reloader = Reloader(app, source.load, hand_on=hand_on, notifier=notifier)
        spawn(stack, source.watch.run(reloader.reload))
        announce(sockets, names, notifier, workers=workers)
        async with asyncio.TaskGroup() as group:
            group.create_task(admin.serve(sockets=[sockets.admin]))
            await fleet.run()
            admin.should_exit = True
        structlog.get_logger("extauth").info("stopped")


def share_of(settings: Settings, *, processors: int) -> Settings:
    """Return the settings of one worker: what the machine has, and what a listener may hold, is divided."""
    listen, keys, hashing = settings.listen, settings.keys, settings.keys.hashing
    connections = -(-listen.max_connections // settings.workers)
    threads = hashing.workers or max(1, processors // settings.workers)
    hashing = hashing.model_copy(update={"workers": threads})
    return settings.model_copy(
        update={
            "listen": listen.model_copy(update={"max_connections": connections}),
            "keys": keys.model_copy(update={"hashing": hashing}),
        }
    )


def _admin_server(app: App, fleet: Fleet, totals: Totals, lines: LineWriter) -> Server:
    health = FleetHealth(app.health, fleet)
    # It has no connections of proxies, and shows those of its workers.
    own = collector_for(app, connections_for(app.settings, app), lines, health=health)
    registry = CollectorRegistry()
    registry.register(SummedCollector(own, totals, fleet.about_workers))
    registry.register(app.admin.counts)
    registry.register(app.reloads)
    return admin_server(
        admin_listener(app, health=health, registry=registry, refresh=fleet.refresh), app.settings
    )


async def _end_on_signal(stop: Stop, fleet: Fleet, app: App, notifier: Notifier) -> None:
    await until_stopped(stop, app, notifier, Patience.of(app.settings.listen.drain))
    fleet.stop()
    await stop.hastened.wait()
    fleet.hasten()
