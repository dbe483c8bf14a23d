"""What systemd, or whoever speaks as it does, says to this process, and what it is told.

Sockets that it opened are handed over by number (sd_listen_fds(3)), and it is told by datagrams how the
process is (sd_notify(3)). Neither needs a library.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping, Sequence
from typing import NamedTuple

from extauth.errors import ConfigError

# The first descriptor that is handed over: behind standard input, output and error.
_FIRST = 3
_PID, _COUNT, _NAMES = "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"
_ADDRESS = "NOTIFY_SOCKET"
# How long a server that is ready waits for room to say so, in seconds: unheard it would be ended again.
_ROOM_WITHIN_SECONDS = 1.0


class Handed(NamedTuple):
    """A socket that was handed over, and its name (`FileDescriptorName=`); empty without one."""

    name: str
    socket: socket.socket


class Notifier:
    """Tells systemd how the process is; without an `address` nobody is told."""

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """Checks are answered, for the first time or after a reload."""
        self._tell("READY=1", f"MAINPID={os.getpid()}", "STATUS=answers checks", within=_ROOM_WITHIN_SECONDS)

    def reloading(self) -> None:
        """The configuration is loaded again; `Type=notify-reload` wants to know since when."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now_us}", "STATUS=loads its configuration")

    def stopping(self) -> None:
        """The process is about to end; nothing is told after that."""
        self._tell("STOPPING=1", "STATUS=answers what was asked, and ends")
        self._address = ""

    def _tell(self, *lines: str, within: float = 0.0) -> None:
        if not self._address:
            return
        # It only wants to know; of what follows `ready` alone depends on whether it hears.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(within)
            sender.sendto("\n".join(lines).encode(), self._address)


def take_sockets(environ: MutableMapping[str, str], *, process_id: int) -> Sequence[Handed]:
    """Return the sockets that were handed to this process, in their order, and none twice.

    The variables are taken out, so that no other process takes them for its own. Raises ConfigError where
    what they say isn't so.
    """
    said = {name: environ.pop(name, "") for name in (_PID, _COUNT, _NAMES)}
    if said[_PID] != str(process_id):
        return ()
    if not (said[_COUNT].isascii() and said[_COUNT].isdigit()):
        raise ConfigError([f"{_COUNT}: {said[_COUNT]!r} is not a number of sockets"])
    count = int(said[_COUNT])
    names = said[_NAMES].split(":") if said[_NAMES] else [""] * count
    if len(names) != count:
        raise ConfigError([f"{_NAMES}: {len(names)} names for {count} sockets"])
    return [Handed(name, _taken(_FIRST + number)) for number, name in enumerate(names)]


def _taken(descriptor: int) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError([f"{_COUNT}: descriptor {descriptor} is no socket: {error.strerror}"]) from error
    taken.set_inheritable(False)
    return taken


def take_notifier(environ: MutableMapping[str, str]) -> Notifier:
    """Return who tells systemd; the variable is taken out, because workers have nothing to tell."""
    return Notifier(environ.pop(_ADDRESS, ""))
