"""Asks the admin listener of a running server, over TCP or a unix socket."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass

from extauth.settings.values import Address
from extauth.tasks import in_thread

# The loopback address of the same family answers for all addresses.
_NEAREST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


@dataclass(frozen=True, slots=True)
class Page:
    """What a server answered."""

    status: int
    body: bytes


async def ask(address: Address, path: str, *, within_seconds: float) -> Page:
    """Ask once, without a key. Raises OSError, also for what is no HTTP; TimeoutError is one."""
    return await in_thread(lambda: _ask(address, path, within_seconds))


def _ask(address: Address, path: str, within_seconds: float) -> Page:
    connection = http.client.HTTPConnection("localhost")
    try:
        if address.is_unix:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(within_seconds)
            connection.sock.connect(address.path)
        else:
            host = _NEAREST.get(address.host, address.host)
            connection.sock = socket.create_connection((host, address.port), within_seconds)
        connection.request("GET", path)
        answer = connection.getresponse()
        return Page(answer.status, answer.read())
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from error
    finally:
        connection.close()
