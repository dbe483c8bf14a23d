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


def wait_for_a_write(node: Node) -> None:
    """Wait until a write has ended that began after now, which is when all of before is counted."""
    # Asking has all decisions counted; a write that is under way at this moment may be without them.
    before = node.metric("extauth_usage_writes_total", outcome="ok")
    wait_until(
        lambda: node.metric("extauth_usage_writes_total", outcome="ok") >= before + 2,
        within=20,
        what="a write",
    )


def test_a_kill_loses_only_what_came_since_the_last_write(node: Node) -> None:
    """All of before is there, and nothing is there twice; counting goes on.

    How often it is written, the tests of the tracker hold: that is as long as what is lost may be.
    """
    key = str(node.create_key()["key"])
    assert [node.check(key) for _ in range(300)] == [200] * 300
    wait_for_a_write(node)
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
