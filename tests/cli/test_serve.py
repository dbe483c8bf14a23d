"""`extauth serve` as an operator runs it: a program that starts, answers, and ends when it is told to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import free_ports, wait_until

QUICK = {"EXTAUTH_KEYS__HASHING__MEMORY_KIB": "8192"}


class Server:
    """The program in a folder of its own, configured by the environment alone."""

    def __init__(self, folder: Path, *, store: Path | None = None) -> None:
        self.check, self.admin, self.completion = free_ports(3)
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTH")}
        self.environment = {
            **inherited,
            **QUICK,
            "EXTAUTH_LISTEN__CHECK": f"127.0.0.1:{self.check}",
            "EXTAUTH_LISTEN__ADMIN": f"127.0.0.1:{self.admin}",
            "EXTAUTH_LISTEN__COMPLETION": f"127.0.0.1:{self.completion}",
            "EXTAUTH_STORE__URL": f"sqlite:///{(store or folder) / 'extauth.db'}",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "extauth", "serve"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        wait_until(lambda: self.status(self.admin, "/readyz") == 200, within=10, what="ready")

    def fail(self) -> tuple[int, str, str]:
        """Start it, expect it to end by itself; return exit code, standard output and standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "extauth", "serve"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def end(self) -> tuple[int, list[dict[str, Any]], str]:
        """Tell it to end; return exit code, log lines and standard error."""
        assert self.process is not None
        self.process.terminate()
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()

    def status(self, port: int, path: str, **headers: str) -> int:
        """Ask, and return the status; 0 where nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Give a server that is not started yet, and kill what is left of it."""
    server = Server(tmp_path)
    yield server
    if server.process is not None and server.process.poll() is None:
        server.process.kill()
        server.process.communicate()


def test_it_starts_answers_and_ends(server: Server) -> None:
    """Each listener answers what is its own, SIGTERM ends it well, and all it says is JSON."""
    # How soon is measured by `make bench`.
    server.start()
    assert [server.status(server.admin, path) for path in ("/livez", "/readyz", "/metrics", "/envoy/x")] == [
        200,
        200,
        200,
        404,
    ]
    assert [server.status(server.check, path) for path in ("/envoy/x", "/metrics", "/readyz")] == [
        401,
        404,
        404,
    ]
    key = subprocess.run(
        [sys.executable, "-m", "extauth", "keys", "create", "--user-id", "ada", "--name", "x", "--json"],
        cwd=server.folder,
        env=server.environment,
        capture_output=True,
        check=True,
    )
    assert (
        server.status(server.check, "/envoy/x", Authorization=f"Bearer {json.loads(key.stdout)['key']}")
        == 200
    )
    code, lines, err = server.end()
    assert (code, err) == (0, "")
    events = [line["event"] for line in lines]
    assert sorted(events[:4]) == ["part_works", "part_works", "started", "store_opened"]
    assert events[-1] == "stopped"
    assert [line["code"] for line in lines if line["event"] == "decision"] == ["missing_key", "allowed"]


def test_a_port_that_is_taken_is_named(server: Server) -> None:
    """With the setting to change, in one line, before anything is opened."""
    with socket.create_server(("127.0.0.1", server.admin)):
        code, out, err = server.fail()
    assert (code, out) == (1, "")
    assert err.startswith(f"listen.admin: can't listen on 127.0.0.1:{server.admin}: ")
    assert "EXTAUTH_LISTEN__ADMIN" in err
    assert err.count("\n") == 1
    assert list(server.folder.iterdir()) == []


def test_a_port_that_datagrams_have_taken_is_named(server: Server) -> None:
    """Signals come by both, so one that can't be had is told at the start."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", server.completion))
        code, _, err = server.fail()
    assert code == 1
    assert err.startswith(f"listen.completion: can't listen on 127.0.0.1:{server.completion}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("", 0o600, "at least 16"),
        ("a b c d e f g h i j k", 0o600, "at least 16"),
        ("a-token-of-these-tests\n", 0o644, "others may read"),
        ("\xff", 0o600, "not UTF-8"),
    ],
)
def test_a_file_with_no_token_stops_the_start(server: Server, text: str, mode: int, why: str) -> None:
    """In one line, which holds nothing of it; a good one is taken, and asked for."""
    file = server.folder / "token"
    file.write_bytes(text.encode("latin-1"))
    file.chmod(mode)
    server.environment["EXTAUTH_THROTTLE__TOKEN_FILE"] = str(file)
    code, _, err = server.fail()
    assert code == 1
    assert err.startswith(f"throttle.token_file: {file}: ")
    assert why in err
    assert "a-token" not in err


def test_a_token_from_a_file_is_asked_for(server: Server) -> None:
    """Whoever has another one or none is refused."""
    file = server.folder / "token"
    file.write_text("a-token-of-these-tests\n")
    file.chmod(0o600)
    server.environment["EXTAUTH_THROTTLE__TOKEN_FILE"] = str(file)
    server.start()
    for given, status in (
        (b"a-token-of-these-tests", b"204"),
        (b"another-token-of-them", b"401"),
        (b"", b"401"),
    ):
        with socket.create_connection(("127.0.0.1", server.completion), timeout=5) as proxy:
            head = b"POST /done HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nauthorization: Bearer %s\r\n\r\na"
            proxy.sendall(head % given)
            assert proxy.recv(4_096).split()[1] == status


def test_a_second_server_on_one_store_is_refused(server: Server, tmp_path: Path) -> None:
    """The first goes on; the second logs nothing that could be taken for a server that works."""
    server.start()
    code, out, err = Server(tmp_path, store=tmp_path).fail()
    assert (code, out) == (1, "")
    assert "another extauth serves from this store" in err
    assert "Traceback" not in err
    assert server.status(server.admin, "/readyz") == 200
