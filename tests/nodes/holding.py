"""Sockets that somebody holds for servers, as systemd does: they outlive any process that uses them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from .node import HOST, Node

# What systemd does between fork and exec: descriptors from 3 on, and the process id that they are meant for.
_HAND_OVER = """
import fcntl, os, sys
held = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",")]
for place, descriptor in enumerate(held, 3):
    os.dup2(descriptor, place)
    os.close(descriptor)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Held(NamedTuple):
    """Sockets, and what they are called."""

    sockets: list[socket.socket]
    names: tuple[str, ...] = ("check", "completion", "completion")


def hold(node: Node, stack: ExitStack) -> Held:
    """Open the sockets for checks and reports of a server, on its ports."""
    made = [
        stack.enter_context(socket.create_server((HOST, node.check_port), backlog=2_048)),
        stack.enter_context(socket.create_server((HOST, node.completion_port))),
        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    ]
    made[-1].bind((HOST, node.completion_port))
    return Held(made)


def hand_over(node: Node, held: Held) -> None:
    """Have each process of a server that is started from now on take these sockets."""
    descriptors = [each.fileno() for each in held.sockets]
    node.child.start_by(
        [sys.executable, "-c", _HAND_OVER, ",".join(map(str, descriptors))],
        descriptors=descriptors,
        environment={"LISTEN_FDS": str(len(held.names)), "LISTEN_FDNAMES": ":".join(held.names)},
    )


@contextmanager
def told_by(node: Node, folder: Path) -> Iterator[socket.socket]:
    """Give the socket on which a server that is started from now on tells how it is."""
    address = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(10)
        node.child.start_by([], descriptors=[], environment={"NOTIFY_SOCKET": address})
        yield receiver
