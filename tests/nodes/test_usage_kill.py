"""A server that is killed, or stopped, while it counts: what was written stays, and is there once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import wait_until

from .node import Node, node_on


@pytest.fixture(params=["sqlite", "redis"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """Give a server, on one store after the other."""
    with node_on(request.param, tmp_path) as node:
        node.child.start()
        yield node


def counted(node: Node) -> int:
    """Return how many requests were allowed, as `extauth usage` tells it."""
    told = node.command("usage", "--by", "none")
    return int(told["series"][0]["total"]["allowed"])


def test_a_kill_loses_only_what_was_not_written_yet(node: Node) -> None:
    """What a report has shown once is there afterwards, and nothing is there twice; counting goes on."""
    key = str(node.create_key()["key"])
    assert [node.check(key) for _ in range(300)] == [200] * 300
    # A server at work writes every second, without being asked to.
    wait_until(lambda: counted(node) == 300, within=20, what="the counts")
    assert [node.check(key) for _ in range(100)] == [200] * 100
    node.child.kill()
    node.close()
    after = counted(node)
    assert 300 <= after <= 400
    node.child.start()
    assert [node.check(key) for _ in range(50)] == [200] * 50
    node.close()
    node.child.stop()
    assert counted(node) == after + 50


def test_a_stop_loses_nothing(node: Node) -> None:
    """Not even the requests of its last moment."""
    key = str(node.create_key()["key"])
    assert [node.check(key) for _ in range(200)] == [200] * 200
    assert node.check("nonsense") == 401
    node.close()
    node.child.stop()
    assert counted(node) == 200
