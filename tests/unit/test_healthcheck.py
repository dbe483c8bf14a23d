"""The health check of the image asks whether extauth is ready, and nothing but its exit code counts."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/healthcheck.py"


def _check(address: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-S", SCRIPT],
        env={"EXTAUTH_LISTEN__ADMIN": address},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


class _Admin(BaseHTTPRequestHandler):
    """Answers as an admin listener does."""

    ready = True

    def address_string(self) -> str:
        """A unix socket has none."""
        return "somebody"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""

    def do_GET(self) -> None:
        """Say whether it is ready."""
        self.send_response((200 if self.ready else 503) if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(b'{"parts": {}}')


class _NotReady(_Admin):
    ready = False


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("handler", "code"), [(_Admin, 0), (_NotReady, 1)])
def test_it_says_what_the_server_says(handler: type[_Admin], code: int) -> None:
    """Ready is 0, everything else 1; the parts are shown, for whoever looks at the container."""
    server = socketserver.TCPServer(("127.0.0.1", 0), handler)
    with _serving(server):
        assert _check(f"0.0.0.0:{server.server_address[1]}") == (code, '{"parts": {}}\n')


def test_it_finds_a_unix_socket(tmp_path: Path) -> None:
    """The listener may be one."""
    path = tmp_path / "admin.sock"
    with _serving(socketserver.UnixStreamServer(str(path), _Admin)):
        assert _check(f"unix:{path}")[0] == 0


def test_nobody_there_is_not_ready() -> None:
    """It ends with 1, and says what it met."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code, said = _check(f"127.0.0.1:{taken.getsockname()[1]}")
    assert code == 1
    assert "refused" in said
