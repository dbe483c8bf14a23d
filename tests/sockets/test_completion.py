"""The completion listener of the real program, on unix sockets: HTTP on one, datagrams beside it."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.integration.processes import wait_until

from .client import PATIENCE, Client
from .conftest import running
from .service import Service

_DONE = b"POST /done HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nr1"
_SIGNALS = "extauth_completion_signals_total"


def report(path: Path) -> None:
    """Report an end by HTTP, and one by a datagram."""
    with Client(str(path)) as proxy:
        proxy.send(_DONE)
        assert proxy.socket.recv(4_096).startswith(b"HTTP/1.1 204 ")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<190>extauth: rid=r2 lease=L", f"{path}.dgram")


def test_signals_come_by_unix_sockets(folder: Path) -> None:
    """Both ways, also where a server that was killed left its sockets behind; none is left at the end."""
    path = folder / "signals.sock"
    service = Service(folder, completion=f"unix:{path}")
    service.start()
    try:
        report(path)
    finally:
        service.kill()
    assert path.is_socket()
    with running(service):
        report(path)
        wait_until(lambda: service.metric(_SIGNALS) == 2, within=PATIENCE, what="both are taken")
        assert service.metric("extauth_completion_unread_total") == 0


def test_signals_that_were_answered_are_taken_before_the_end(folder: Path) -> None:
    """A server that is told to end answers what it has read, and ends well."""
    path = folder / "signals.sock"
    service = Service(folder, completion=f"unix:{path}")
    with running(service), Client(str(path)) as proxy:
        proxy.send(_DONE)
        assert proxy.socket.recv(4_096).startswith(b"HTTP/1.1 204 ")
        service.terminate()
        proxy.assert_ended()
    assert service.log_lines()[-1]["event"] == "stopped"
