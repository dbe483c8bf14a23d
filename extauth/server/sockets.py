"""The sockets of a server: those that were handed over, and the rest bound as the settings say."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from extauth import __version__
from extauth.errors import ConfigError
from extauth.server.completion import CompletionSockets
from extauth.server.listeners import BACKLOG, bind, name_of
from extauth.server.systemd import Handed, Notifier
from extauth.settings.model import ListenSettings

_DATAGRAMS = "completion-datagrams"
NAMES = ("check", "admin", "completion", _DATAGRAMS)


class Sockets(NamedTuple):
    """All of them, bound; those that somebody else holds may have connections already, which wait."""

    check: socket.socket
    admin: socket.socket
    completion: CompletionSockets
    check_is_held: bool

    @classmethod
    def take(cls, listen: ListenSettings, handed: Sequence[Handed]) -> Sockets:
        """Take what was handed over, and bind the rest. Raises ConfigError, naming what to change."""
        given = _by_name(handed)
        return cls(
            check=given.get("check") or bind("listen.check", listen.check),
            admin=given.get("admin") or bind("listen.admin", listen.admin),
            completion=CompletionSockets.bind(
                listen.completion, listener=given.get("completion"), datagrams=given.get(_DATAGRAMS)
            ),
            check_is_held="check" in given,
        )

    def names(self) -> dict[str, str]:
        """Return the addresses, by listener, for the log."""
        listeners = {"check": self.check, "admin": self.admin, "completion": self.completion.listener}
        return {listener: name_of(taken) for listener, taken in listeners.items()}


def announce(sockets: Sockets, names: Mapping[str, str], notifier: Notifier, **more: int) -> None:
    """Say that checks are answered, in the log and to systemd; the admin listener can be asked by then."""
    sockets.admin.listen(BACKLOG)
    log = structlog.get_logger("extauth")
    log.info("started", version=__version__, **names, pid=os.getpid(), **more)
    notifier.ready()


def _by_name(handed: Sequence[Handed]) -> dict[str, socket.socket]:
    given: dict[str, socket.socket] = {}
    for name, taken in handed:
        is_datagrams = taken.type == socket.SOCK_DGRAM
        # Both can stand in one unit, where all sockets have one name.
        meant = _DATAGRAMS if name == "completion" and is_datagrams else name
        problem = ""
        if meant not in NAMES:
            problem = f"is none of {', '.join(NAMES)}: set FileDescriptorName"
        elif meant in given:
            problem = "was handed over twice"
        elif taken.type != (socket.SOCK_DGRAM if meant == _DATAGRAMS else socket.SOCK_STREAM):
            problem = "is of the wrong kind: datagrams are read for completion only"
        if problem:
            raise ConfigError([f"a socket named {name!r} {problem}"])
        given[meant] = taken
    return given
