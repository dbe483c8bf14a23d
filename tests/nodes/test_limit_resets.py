"""Several servers on one Redis: limits that one of them shows and resets are those that all of them count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .node import Node

TIERS = {"default": {"rates": ["3/30d", {"rate": "1/30d", "shadow": True, "name": "soon"}]}}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """Run Redis and two servers on it, the second with two workers."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        redis = stack.enter_context(running(RedisServer(folder / "redis")))
        made = []
        for name, workers in (("one", 1), ("two", 2)):
            node = Node(folder / name, store_url=redis.url, tiers=TIERS, workers=workers)
            node.child.start()
            stack.callback(node.child.stop)
            stack.callback(node.close)
            made.append(node)
        yield made[0], made[1]


def passes(node: Node, key: str) -> bool:
    """Tell whether a check lets a key in."""
    return node.check(key) == 200


def test_a_reset_is_noticed_everywhere_within_a_second(nodes: tuple[Node, Node]) -> None:
    """At once where it was asked for, and by servers that hold on to a refusal."""
    one, two = nodes
    admin = str(one.create_key("extauth:admin", user_id="ops")["key"])
    for resetting, other in (nodes, (two, one)):
        made = one.create_key()
        key_id, key = made["key_id"], made["key"]
        assert [node.check(key) for node in (one, two, one)] == [200, 200, 200]
        for node in (one, two) * 5:
            assert node.check(key) == 429
        assert resetting.admin("POST", f"/keys/{key_id}/limits/reset", key=admin).status == 200
        if resetting is one:
            assert one.check(key) == 200
        wait_until(partial(passes, other, key), within=1.2, what="the reset")


def test_all_say_the_same_about_limits(nodes: tuple[Node, Node]) -> None:
    """The servers and the command line, which may reset them too while servers run."""
    one, two = nodes
    admin = str(one.create_key("extauth:admin", user_id="ops")["key"])
    made = two.create_key()
    assert [two.check(made["key"]), one.check(made["key"])] == [200, 200]
    path = f"/keys/{made['key_id']}/limits"
    shown = [node.admin("GET", path, key=admin).body["limits"] for node in nodes]
    shown.append(one.command("keys", "limits", made["key_id"])["limits"])
    body = {"url": "https://api.example.com/", "key_id": made["key_id"]}
    shown.append(two.admin("POST", "/explain", key=admin, body=body).body["limits"])
    shown.append(one.command("explain", "GET", body["url"], "--key-id", made["key_id"])["limits"])
    for limits in shown:
        assert [(limit["name"], limit["remaining"]) for limit in limits] == [("per-30d", 1), ("soon", 0)]
    assert two.command("keys", "reset-limits", made["key_id"], "--yes")["reset"] == ["per-30d", "soon"]
    assert one.admin("GET", path, key=admin).body["limits"][0]["remaining"] == 3


def test_refusals_in_shadow_of_all_processes_are_in_one_report(nodes: tuple[Node, Node]) -> None:
    """Each adds its own, about once a second."""
    one, two = nodes
    admin = str(one.create_key("extauth:admin", user_id="ops")["key"])
    made = one.create_key()
    assert [node.check(made["key"]) for node in (one, two, two)] == [200, 200, 200]

    def requests() -> int:
        report = two.admin("GET", "/limits/shadow-report?limit=1000", key=admin).body
        return sum(caller["requests"] for caller in report["callers"] if caller["key_id"] == made["key_id"])

    wait_until(lambda: requests() == 2, within=3, what="both servers' counts")
    report = one.command("limits", "shadow-report", "--limit", "1000")
    assert [row["requests"] for row in report["callers"] if row["key_id"] == made["key_id"]] == [2]
