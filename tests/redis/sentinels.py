"""A master with a replica and Sentinels that watch over them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.processes import free_ports, wait_until
from tests.redis.server import HOST, RedisServer, ask, running


@contextmanager
def running_sentinels(folder: Path) -> Iterator[tuple[RedisServer, RedisServer, str]]:
    """Run a master, a replica and two Sentinels; of the three that the URL names, the first is not there."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running(RedisServer(folder / "master")))
        arguments = (*master.arguments, "--replicaof", f"{HOST} {master.port}")
        replica = stack.enter_context(running(RedisServer(folder / "replica", arguments)))
        wait_until(
            lambda: "master_link_status:up" in replica.ask("INFO", "replication"), within=20, what="a replica"
        )
        configuration = (
            f"sentinel monitor mymaster {HOST} {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 3000\n"
        )
        sentinels = [
            stack.enter_context(
                running(
                    RedisServer(folder / f"sentinel{number}", ("--sentinel",), configuration=configuration)
                )
            )
            for number in range(2)
        ]
        for sentinel in sentinels:
            wait_until(lambda port=sentinel.port: _knows_all(port), within=20, what="the Sentinels")  # type: ignore[misc]  # a lambda's default binds the loop's variable
        (nobody,) = free_ports(1)
        hosts = ",".join(f"{HOST}:{port}" for port in (nobody, *(one.port for one in sentinels)))
        yield master, replica, f"redis+sentinel://{hosts}/mymaster/0"


def _knows_all(port: int) -> bool:
    pairs = ask(port, "SENTINEL", "MASTER", "mymaster")
    known = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return (known["num-slaves"], known["num-other-sentinels"]) == ("1", "1")
