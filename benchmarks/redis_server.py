"""A Redis of its own for the benchmark: in memory only, on one core."""

from __future__ import annotations

from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.load import HOST
from benchmarks.servers import Server, free_ports, start

PROGRAM = "redis-server"
_TRANSIENT = ("--save", "", "--appendonly", "no")


class RedisServer:
    """A running Redis."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = f"redis://{HOST}:{server.port}/0"

    def client(self) -> Redis:
        """Return what asks it."""
        return Redis(host=HOST, port=self.server.port)

    def used_bytes(self) -> int:
        """Return the memory that it has in use, but for its connections."""
        with self.client() as client:
            told = client.info("memory")
            return int(told["used_memory"]) - int(told["mem_clients_normal"])


def start_redis(*, core: int, folder: Path) -> RedisServer:
    """Start a Redis that keeps nothing on disk. Raises ServerError."""
    port = free_ports(1)[0]
    where = ["--bind", HOST, "--port", str(port), "--dir", str(folder)]
    return RedisServer(
        start([PROGRAM, *where, *_TRANSIENT], port=port, core=core, folder=folder, ready=_answers)
    )


def _answers(port: int) -> bool:
    try:
        with Redis(host=HOST, port=port, socket_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False
