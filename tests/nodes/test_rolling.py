"""Servers behind real proxies are restarted while clients ask: no client notices."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration import shipped
from tests.integration.processes import Child, free_ports, wait_until
from tests.integration.upstream import Upstream
from tests.redis.server import RedisServer, running

from .fleet import PATIENCE
from .holding import hand_over, hold
from .load import Load
from .node import HOST, Node

# How long each proxy waits for extauth, by file: a machine that runs tests may be slower.
_TIMES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "envoy": ("envoy.yaml", {"timeout: 1s }": "timeout: 15s }"}),
    "nginx": ("extauth.conf", {"proxy_connect_timeout 250ms;": "", "proxy_read_timeout 1s;": ""}),
    "traefik": ("dynamic.yml", {"timeout: 1s\n": "timeout: 15s\n", "connect: 250ms": "connect: 15s"}),
    "caddy": (
        "Caddyfile",
        {"dial_timeout 250ms": "dial_timeout 15s", "response_header_timeout 1s\n": "\n"},
    ),
    "haproxy": (
        "haproxy.cfg",
        {"timeout connect 250ms": "timeout connect 15s", "timeout server 1s\n": "timeout server 15s\n"},
    ),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that nginx's worker may enter, which runs as another user when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="extauth-rolling-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of an upstream."""
    running_one = Upstream()
    yield running_one.start()
    running_one.stop()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """End what a test has begun."""
    with ExitStack() as stack:
        yield stack


def replace(file: Path, changes: Mapping[str, str]) -> None:
    """Change a file where these stand in it, each once."""
    text = file.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def with_both(name: str, folder: Path, ports: tuple[int, int]) -> None:
    """List a second server beside the first in a proxy's files, as its guide says."""
    if name == "nginx":
        file = "extauth-http.conf"
        line, both = f"  server {HOST}:{{}};\n", f"  server {HOST}:{{}} max_fails=0;\n"
    else:
        file, address = "envoy.yaml", "{{ address: 127.0.0.1, port_value: {} }}"
        line = both = f"        - endpoint: {{{{ address: {{{{ socket_address: {address} }}}} }}}}\n"
    replace(folder / file, {line.format(ports[0]): "".join(both.format(port) for port in ports)})


def proxy_of(
    name: str,
    folder: Path,
    node: Node,
    upstream: int,
    change: Callable[[], None] = lambda: None,
) -> tuple[Child, int]:
    """Return a patient proxy in front of a server, not started yet, and the port where clients connect."""
    folder.mkdir(exist_ok=True)
    ports = dict(zip(sorted(shipped.PROXIES[name].ports), free_ports(8), strict=False))
    ports |= {9000: node.check_port, 9002: node.completion_port, 8082: upstream}

    def changed(_first: Path) -> None:
        file, times = _TIMES[name]
        replace(folder / file, times)
        change()

    return shipped.child(name, folder, ports, changed), ports[shipped.PROXIES[name].ingress]


def answers(*loads: Load) -> None:
    """Wait for a hundred more of each."""
    wanted = [load.asked + 100 for load in loads]
    wait_until(
        lambda: all(load.asked >= many for load, many in zip(loads, wanted, strict=True)),
        within=PATIENCE,
        what="clients are answered",
    )


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_two_servers_are_restarted_one_after_the_other(
    name: str, folder: Path, upstream: int, stack: ExitStack
) -> None:
    """On one Redis: at 200 requests a second each of them is allowed, whichever server has gone."""
    redis = stack.enter_context(running(RedisServer(folder / "redis")))
    patient = {"deadline": "10s"}
    nodes = [Node(folder / each, store_url=redis.url, failure=patient) for each in ("first", "second")]
    listed = (nodes[0].check_port, nodes[1].check_port)
    proxy, port = proxy_of(name, folder, nodes[0], upstream, lambda: with_both(name, folder, listed))
    for child in (nodes[0].child, nodes[1].child, proxy):
        stack.callback(child.stop)
        child.start()
    key = str(nodes[0].create_key()["key"])
    with Load(port, key, target="/v1/x") as load:
        for node in nodes:
            answers(load)
            node.child.stop()
            answers(load)
            node.child.start()
        answers(load)
    assert load.came_of == {"200": load.asked}, proxy.output()[-2_000:]
    assert all(node.child.output() == "" for node in nodes)


def test_one_server_is_restarted_behind_all_proxies(folder: Path, upstream: int, stack: ExitStack) -> None:
    """With the embedded store, on sockets that somebody holds: none of them loses a check on a connection."""
    node = Node(folder / "node", store_url=f"sqlite:///{folder / 'extauth.db'}")
    hand_over(node, hold(node, stack))
    proxies = {name: proxy_of(name, folder / name, node, upstream) for name in _TIMES}
    for child in (node.child, *(proxy for proxy, _ in proxies.values())):
        stack.callback(child.stop)
        child.start()
    key = str(node.create_key()["key"])
    loads = {
        name: stack.enter_context(Load(port, key, target="/v1/x", each_seconds=0.02))
        for name, (_, port) in proxies.items()
    }
    answers(*loads.values())
    node.child.stop()
    node.child.start()
    answers(*loads.values())
    for load in loads.values():
        load.end()
    assert {name: dict(load.came_of) for name, load in loads.items()} == {
        name: {"200": load.asked} for name, load in loads.items()
    }
