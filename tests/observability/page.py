"""The page of metrics as Prometheus gets it, of a real server that had all kinds of requests."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.nodes.node import HOST, Node
from tests.redis.server import RedisServer, running

# What must never be found in a label.
USER, PATH = "user-who-asks", "/v1/somewhere/particular"
_TIERS = {
    "default": {"rates": [{"rate": "1/hour", "name": "hourly", "shadow": True}], "concurrency": {"max": 9}}
}


@contextmanager
def asked_node(folder: Path, *, workers: int) -> Iterator[tuple[Node, dict[str, Any]]]:
    """Give a server that allowed, refused and would have refused, and the key that it was asked with."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'extauth.db'}"
        if workers > 1:
            url = stack.enter_context(running(RedisServer(folder / "redis"))).url
        patient = {"store": {"url": url, "timeout": "5s"}, "failure": {"deadline": "5s"}, "workers": workers}
        node = Node(folder / "node", store_url=url, tiers=_TIERS, **patient)
        stack.callback(node.close)
        stack.callback(node.child.stop)
        node.child.start()
        key = node.create_key(user_id=USER)
        assert node.check(key["key"], PATH) == 200
        assert node.check(key["key"], PATH) == 200
        assert node.check(key["key"][:-1], PATH) == 401
        assert node.check("", PATH) == 401
        yield node, key


def page_of(node: Node) -> bytes:
    """Return the page."""
    with urllib.request.urlopen(f"http://{HOST}:{node.admin_port}/metrics", timeout=10) as answer:
        page: bytes = answer.read()
    return page


def families_of(page: bytes) -> Sequence[Metric]:
    """Return what Prometheus reads from it."""
    return [*text_string_to_metric_families(page.decode())]
