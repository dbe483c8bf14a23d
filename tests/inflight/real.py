"""The real extauth behind all proxies: one process with its own store, or several workers on a Redis.

    python -m tests.inflight.real --proxy nginx --workers 4 --clients 50 --parallel 6 --seconds 60
    python -m tests.inflight.real --proxy envoy --maximum 1 --sequence 10000

prints what came of it; `--keep` names a folder for logs. The first prints "at most 4 in flight" and "at least
4 slots free" where the limit held and nothing is left; the second {200: 10000}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration import shipped
from tests.integration.lacks import LACKS, Lack
from tests.integration.processes import Child
from tests.nodes.fleet import Fleet, served
from tests.nodes.node import HOST, Node
from tests.redis.server import RedisServer, running

from . import proxies
from .background import Background
from .callers import RESET, WEIGHTS, Behaviour
from .crowd import Report, crowd, sequence
from .upstream import Upstream

_DURABLE = ("--save", "", "--appendonly", "yes")


class Client(NamedTuple):
    """A client's key, and the id under which the upstream knows it."""

    key: str
    key_id: str


class Real(NamedTuple):
    """Everything, running. There is a Redis where there are several workers."""

    node: Node
    ports: dict[str, int]
    upstream: Upstream
    admin_key: str
    clients: list[Client]
    proxies: dict[str, Child]
    redis: RedisServer | None

    def make_client(self, **asked: Any) -> Client:
        """Make a key by the admin API, of the default tier unless asked otherwise."""
        # The connection may have been closed meanwhile, as an idle one.
        self.node.close()
        return _make_key(self.node, self.admin_key, **asked)


@contextmanager
def real(
    folder: Path, *, workers: int, clients: int, maximum: int, ttl: str = "1m", **sections: Any
) -> Iterator[Real]:
    """Run it in that folder, which others may enter, with a limit of so many requests in flight for each key.

    With one worker the store is extauth's own, with more a Redis that is started too, and that keeps what it
    has when it is killed.
    """
    ports = proxies.some_ports()
    upstream = Upstream(ports.upstream)
    settings = {"tiers": {"default": {"concurrency": {"max": maximum, "ttl": ttl}}}, **sections}
    redis = None
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        background.run(upstream.start())
        stack.callback(lambda: background.run(upstream.stop()))
        if workers > 1:
            redis = stack.enter_context(running(RedisServer(folder / "redis", _DURABLE)))
            node: Node = Fleet(folder / "node", store_url=redis.url, workers=workers, **settings)
        else:
            node = Node(folder / "node", store_url=f"sqlite:///{folder / 'extauth.db'}", **settings)
        ports = proxies.Ports({**ports.of, 9000: node.check_port})
        _listen_for_signals(node, ports.completion)
        stack.enter_context(_started(node))
        children = stack.enter_context(proxies.running(folder, ports))
        there = {name: ports.ingress(name) for name in children}
        admin_key = str(node.create_key("extauth:admin", user_id="ops")["key"])
        made = [_make_key(node, admin_key, user_id=f"client-{number}") for number in range(clients)]
        yield Real(node, there, upstream, admin_key, made, children, redis)


def _listen_for_signals(node: Node, port: int) -> None:
    settings = json.loads(node.config.read_text())
    settings["listen"]["completion"] = f"{HOST}:{port}"
    node.config.write_text(json.dumps(settings))


@contextmanager
def _started(node: Node) -> Iterator[None]:
    if isinstance(node, Fleet):
        with served(node):
            yield
        return
    node.child.start()
    try:
        yield
    finally:
        node.close()
        node.child.stop()


def _make_key(node: Node, admin_key: str, **asked: Any) -> Client:
    answer = node.admin("POST", "/keys", key=admin_key, body={"user_id": "a-client", "name": "test", **asked})
    assert answer.status == 201, answer.body
    return Client(answer.body["key"], answer.body["key_id"])


def weights_for(proxy: str) -> dict[Behaviour, int]:
    """Return what a crowd does behind that proxy: nothing whose end it couldn't tell."""
    untold = {RESET} if Lack.EVERY_END in LACKS[proxy] else set()
    return {behaviour: weight for behaviour, weight in WEIGHTS.items() if behaviour not in untold}


async def run_crowd(
    it: Real,
    proxy: str,
    *,
    seconds: float,
    parallel: int,
    maximum: int,
    held: Callable[[], int] = lambda: 0,
) -> Report:
    """Let the crowd loose, and return what came of it; `held` is as for `crowd`.

    That nothing is left shows in the slots that are free.
    """
    # First uses are slow, and take a slot that nobody reports the end of: they go through the proxy too.
    for client in it.clients:
        await sequence(it.ports[proxy], client.key, count=1)
    it.upstream.forget()
    return await crowd(
        it.ports[proxy],
        [client.key for client in it.clients],
        names=[client.key_id for client in it.clients],
        seconds=seconds,
        parallel=parallel,
        maximum=maximum,
        upstream=it.upstream,
        held=held,
        weights=weights_for(proxy),
    )


def main() -> None:
    """Run it; see the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--proxy", choices=tuple(shipped.PROXIES), default="nginx")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--keep", type=Path)
    for name, default in {"workers": 1, "clients": 50, "parallel": 6, "maximum": 4, "sequence": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="extauth-inflight-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    clients = 1 if given.sequence else given.clients
    with real(folder, workers=given.workers, clients=clients, maximum=given.maximum) as it:
        if given.sequence:
            asked = sequence(it.ports[given.proxy], it.clients[0].key, count=given.sequence)
            told = str(dict(asyncio.run(asked)))
        else:
            crowding = run_crowd(
                it, given.proxy, seconds=given.seconds, parallel=given.parallel, maximum=given.maximum
            )
            told = asyncio.run(crowding).lines()
    sys.stdout.write(f"{told}\n")
    if given.keep is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
