"""Ends with 0 if the extauth of this container is ready for checks, with 1 if not, and says why.

It is run every few seconds, so it takes what Python has and not the command line, which is ten times as slow.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys

# Less than the health check of the image waits.
_TIMEOUT_SECONDS = 4
_READY = http.HTTPStatus.OK


class _Connection(http.client.HTTPConnection):
    """A connection to a unix socket where the address is one."""

    def connect(self) -> None:
        if not self.host.startswith("/"):
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(self.host)


def _connection(address: str) -> _Connection:
    if address.startswith("unix:"):
        return _Connection(address.removeprefix("unix:"), 0, timeout=_TIMEOUT_SECONDS)
    host, _, port = address.rpartition(":")
    # Connecting to 0.0.0.0 or [::] is connecting to this machine.
    return _Connection(host.strip("[]"), int(port), timeout=_TIMEOUT_SECONDS)


def main() -> int:
    """Ask once."""
    # The image sets it, and the environment goes before any file.
    connection = _connection(os.environ.get("EXTAUTH_LISTEN__ADMIN", "127.0.0.1:9001"))
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        answer = connection.getresponse()
        print(answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(error)
        return 1
    finally:
        connection.close()
    return 0 if answer.status == _READY else 1


if __name__ == "__main__":
    sys.exit(main())
