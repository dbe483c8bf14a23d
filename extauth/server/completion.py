"""The completion listener of a process: HTTP, and datagrams beside it."""

from __future__ import annotations

import errno
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from extauth.app import App
from extauth.clock import SystemClock
from extauth.completion.datagrams import DatagramReader
from extauth.completion.http import CompletionProtocol, Intake
from extauth.completion.inbox import Inbox
from extauth.completion.signals import Signal, SignalSink
from extauth.completion.sources import Sources
from extauth.errors import ConfigError
from extauth.server.accepting import Acceptor
from extauth.server.board import Board
from extauth.server.connections import Connections
from extauth.server.listeners import BACKLOG, bind, limits_of, sweep
from extauth.server.process import spawn
from extauth.server.pulse import Pulse
from extauth.settings.model import Address, Settings
from extauth.settings.throttle import ThrottleSettings, check_token

_SETTING = "listen.completion"
# How often a port is looked for that is free both for connections and for datagrams.
_ATTEMPTS = 20
# How long reports that are being read may take at the end, in seconds.
_LAST_SECONDS = 1.0
# How long connections are kept on which nothing more ends: a report may be on its way, in seconds.
_LINGER_SECONDS = 0.1


class CompletionSockets(NamedTuple):
    """Both sockets, bound. Several processes can read them at once."""

    listener: socket.socket
    datagrams: socket.socket

    @classmethod
    def bind(
        cls,
        address: Address,
        *,
        listener: socket.socket | None = None,
        datagrams: socket.socket | None = None,
    ) -> CompletionSockets:
        """Take the address, but for what is there already.

        Raises ConfigError, naming the setting to change.
        """
        if listener is None and datagrams is None:
            return cls._bind_both(address)
        return cls(
            listener or bind(_SETTING, address),
            datagrams or bind(_SETTING, address.for_datagrams(), socket.SOCK_DGRAM),
        )

    @classmethod
    def _bind_both(cls, address: Address) -> CompletionSockets:
        for attempt in range(_ATTEMPTS):
            listener = bind(_SETTING, address)
            beside = address.for_datagrams()
            if not address.is_unix:
                beside = Address(address.host, listener.getsockname()[1])
            try:
                return cls(listener, bind(_SETTING, beside, socket.SOCK_DGRAM))
            except ConfigError as error:
                listener.close()
                taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
                # A port that the system chose may be taken by datagrams alone.
                if address.is_unix or address.port or not taken or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt raises")


class Beating:
    """Takes signals for another sink, and has the pulse beat while they come (a `SignalSink`)."""

    def __init__(self, sink: SignalSink, pulse: Pulse) -> None:
        self._take = sink.take
        self._quicken = pulse.quicken

    def take(self, signals: Sequence[Signal]) -> None:
        """Take signals."""
        self._quicken()
        self._take(signals)


class CompletionListener:
    """Takes signals until it is closed. `board` is how the workers of a server share connections evenly."""

    def __init__(
        self, settings: Settings, app: App, sockets: CompletionSockets, *, worker: int, board: Board
    ) -> None:
        sources = Sources(settings.throttle.sources)
        self.connections = Connections(limits_of(settings), now=time.monotonic())
        self._pulse = Pulse(board, worker)
        app.leases.bear_with(self._pulse.is_late)
        sink = Beating(app.releases, self._pulse)
        self._intake = Intake(
            inbox=Inbox(sink, app.signals),
            connections=self.connections,
            sources=sources,
            counters=app.signals,
            token=token_of(settings.throttle),
        )
        self._datagrams = DatagramReader(sockets.datagrams, sink, sources, app.signals)
        self._acceptor = Acceptor(
            sockets.listener,
            worker=worker,
            board=board,
            connections=self.connections,
            connect=lambda: CompletionProtocol(self._intake),
        )
        self._acceptor.start(BACKLOG)
        self._open = True

    def note(self) -> None:
        """Tell the other workers how many connections this one has."""
        self._acceptor.note()

    async def drain(self) -> None:
        """Take what waits, let connections go when nothing is reported on them, then close."""
        self._acceptor.close()
        await self._acceptor.settle()
        self.connections.drain()
        took = await self.connections.rest(_LINGER_SECONDS, within=_LAST_SECONDS)
        await self.connections.are_gone(max(_LAST_SECONDS - took, 0.0), idle_go=True)
        self.close()

    def close(self) -> None:
        """Take no more, and hand over what was answered, or came as a datagram."""
        if self._open:
            self._open = False
            self._acceptor.close()
            self._datagrams.close()
            self._intake.close()
            self._pulse.close()


def listen_for_completions(
    stack: AsyncExitStack,
    settings: Settings,
    app: App,
    sockets: CompletionSockets,
    *,
    worker: int,
    board: Board,
) -> CompletionListener:
    """Take signals until the stack is left, or the listener closed.

    Raises ConfigError where the file of the token can't be used.
    """
    listener = CompletionListener(settings, app, sockets, worker=worker, board=board)
    stack.callback(listener.close)
    spawn(stack, sweep(listener.connections, SystemClock()))
    return listener


def token_of(throttle: ThrottleSettings) -> bytes | None:
    """Return the token that reports need, if any. Raises ConfigError where its file can't be used."""
    if throttle.token is not None:
        return throttle.token.get_secret_value().encode("ascii")
    file = throttle.token_file
    if file is None:
        return None
    with _about(file):
        if file.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise ValueError("others may read or write this file; make it readable by its owner only")
        return check_token(file.read_text(encoding="utf-8").strip()).encode("ascii")


@contextmanager
def _about(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError([f"throttle.token_file: {file}: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise ConfigError([f"throttle.token_file: {file}: not UTF-8 text"]) from None
    except ValueError as error:
        raise ConfigError([f"throttle.token_file: {file}: {error}"]) from None
