"""One worker: a process that answers checks on the listening socket of its supervisor.

It does nothing else, but that the first one trims the audit log.

The supervisor starts it as `python -m extauth.server.worker`, with the numbers of what it inherits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from extauth.app import App, open_app
from extauth.clock import SystemClock
from extauth.configured import configure
from extauth.errors import ConfigError, ExtauthError
from extauth.reload import put_in_force
from extauth.server.accepting import Acceptor
from extauth.server.board import Board
from extauth.server.completion import CompletionListener, CompletionSockets, listen_for_completions
from extauth.server.connections import Connections
from extauth.server.draining import Drain, Patience, Stop
from extauth.server.garbage import LongLived
from extauth.server.link import Link
from extauth.server.listeners import accept_checks, connections_for, sweep
from extauth.server.process import on_hangup, open_lines, spawn
from extauth.server.reports import report_of
from extauth.settings.model import Settings
from extauth.telemetry.collector import collector_for
from extauth.telemetry.lines import LineWriter

REPORT_EVERY_SECONDS = 0.5
# The worker that trims the audit log, for all: whoever takes its place has its number too.
_TRIMS_AUDIT = 0


class Worker:
    """What runs in the process, once everything is opened."""

    def __init__(
        self,
        number: int,
        app: App,
        connections: Connections,
        lines: LineWriter,
        link: Link,
        *,
        completion: CompletionListener,
    ) -> None:
        self._number = number
        self._app = app
        self._connections = connections
        self._completion = completion
        self._link = link
        self._registry = CollectorRegistry()
        self._registry.register(collector_for(app, connections, lines, completion=completion.connections))

    async def run(self, inherited: Inherited, stop: Stop) -> None:
        """Answer checks until told to stop, then until those under way are answered."""
        listener, board, held = inherited.listener, inherited.board, inherited.is_held
        acceptor = accept_checks(listener, self._app, self._connections, worker=self._number, board=board)
        patience = Patience.of(self._app.settings.listen.drain)
        async with asyncio.TaskGroup() as group:
            self.report()
            reporting = group.create_task(self._report_on(acceptor, stop))
            await stop.asked.wait()
            await Drain(acceptor, self._connections, self._app.leases, patience, held=held).run(stop)
            # Not before: checks that wait for a slot wait for signals.
            await self._completion.drain()
            reporting.cancel()
        # What was counted to the end isn't lost with the process.
        self.report()
        await self._link.flush()

    def report(self, asked: int = 0) -> None:
        """Tell the supervisor how this process is and what it has counted, in answer to a question or not."""
        self._link.send(
            asked=asked, problems=dict(self._app.health.parts), families=report_of(self._registry)
        )

    async def _report_on(self, acceptor: Acceptor, stop: Stop) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY_SECONDS)
            if not stop.asked.is_set():
                acceptor.note()
                self._completion.note()
            self.report()
            await self._link.flush()

    async def obey(self, stop: Stop) -> None:
        """Do what the supervisor says, until it says no more: then it has ended, or wants this to end."""
        try:
            async for message in self._link.messages():
                if "report" in message:
                    self.report(message["report"])
                elif not await self._go_by(await self._link.take_settings()):
                    break
        except EOFError:
            pass  # it ended in the middle of its settings
        finally:
            stop.asked.set()

    async def _go_by(self, settings: Settings) -> bool:
        """Go by other settings; tell whether that worked. Else a worker that begins with them is better."""
        try:
            put_in_force(self._app, await asyncio.to_thread(configure, settings, self._app.parts))
        except Exception as fault:  # noqa: BLE001 - whatever it is, nobody may be checked by old rules
            structlog.get_logger("extauth").error("fault", exc_info=fault)
            return False
        return True


class Inherited(NamedTuple):
    """What a worker has from its supervisor, beside the link to it."""

    is_held: bool
    listener: socket.socket
    board: Board
    completion: CompletionSockets
    completion_board: Board


async def work(number: int, link: Link, inherited: Inherited) -> int:
    """Run a worker from its settings to its end; return the exit code."""
    settings = await link.take_settings()
    stop = Stop.on_signal()
    # By this one the supervisor hastens its workers; a terminal's Ctrl-C reaches none of them.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.hasten)
    # The supervisor says when there are other settings.
    on_hangup(lambda: None)
    async with AsyncExitStack() as stack:
        try:
            app, lines = await _open(stack, number, settings, inherited.board)
            completion = listen_for_completions(
                stack,
                settings,
                app,
                inherited.completion,
                worker=number,
                board=inherited.completion_board,
            )
        except ExtauthError as error:
            # The supervisor tells it, once for all workers.
            problems = error.problems if isinstance(error, ConfigError) else [str(error)]
            link.send(failed=problems)
            await link.flush()
            return 1
        long_lived = LongLived()
        long_lived.begin()
        spawn(stack, long_lived.run())
        connections = connections_for(settings, app)
        spawn(stack, sweep(connections, SystemClock()))
        worker = Worker(number, app, connections, lines, link, completion=completion)
        spawn(stack, worker.obey(stop))
        log = structlog.get_logger("extauth")
        log.info("worker_started", pid=os.getpid())
        await worker.run(inherited, stop)
        log.info("worker_stopped", pid=os.getpid())
    return 0


async def _open(
    stack: AsyncExitStack, number: int, settings: Settings, board: Board
) -> tuple[App, LineWriter]:
    lines = open_lines(stack, settings, fields={"worker": number}, turn=board.turn)
    app = await stack.enter_async_context(open_app(settings, lines=lines, trims_audit=number == _TRIMS_AUDIT))
    return app, lines


async def _begin(number: int, is_held: int, link: int, descriptors: Sequence[int]) -> int:
    end = await Link.over(socket.socket(fileno=link))
    listener, board, signals, datagrams, signal_board = descriptors
    inherited = Inherited(
        is_held=bool(is_held),
        listener=socket.socket(fileno=listener),
        board=Board(board),
        completion=CompletionSockets(socket.socket(fileno=signals), socket.socket(fileno=datagrams)),
        completion_board=Board(signal_board),
    )
    return await work(number, end, inherited)


def main() -> None:
    """Run the worker that the arguments describe: its number, and the descriptors that it inherits."""
    number, is_held, link, *descriptors = map(int, sys.argv[1:])
    sys.exit(uvloop.run(_begin(number, is_held, link, descriptors)))


if __name__ == "__main__":
    main()
