"""Several servers on one Redis, one of them with workers: who is banned on one is banned on all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .fleet import Fleet
from .node import Node

ABUSE = {"per_address": {"failures": 5}}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Fleet]]:
    """Run Redis and two servers on it, the second with two workers."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        redis = stack.enter_context(running(RedisServer(folder / "redis")))
        one = Node(folder / "one", store_url=redis.url, abuse=ABUSE)
        two = Fleet(folder / "two", store_url=redis.url, abuse=ABUSE, workers=2)
        for node in (one, two):
            node.child.start()
            stack.callback(node.child.stop)
            stack.callback(node.close)
        wait_until(two.serving, within=20, what="all workers answer")
        yield one, two


def check(node: Node, key: str, address: str) -> int:
    """Ask for a client at an address, each time on another connection: any worker may get it."""
    node.close()
    lines = {"x-api-key": key, "x-extauth-client-ip": address}
    return node._ask(node.check_port, "GET", "/envoy/v1/x", lines).status


def answers(node: Node, key: str, address: str, status: int) -> bool:
    """Tell whether all workers give this answer, as far as some tries tell."""
    return {check(node, key, address) for _ in range(6)} == {status}


def test_a_ban_that_begins_on_one_server_holds_on_all(nodes: tuple[Node, Fleet]) -> None:
    """Within a second; the key of a holder who called there before passes on all of them."""
    one, two = nodes
    address = "192.0.2.7"
    key = str(one.create_key()["key"])
    for node in nodes:
        assert answers(node, key, address, 200)
    assert [check(one, "no-key", address) for _ in range(5)] == [401] * 5
    assert check(one, "no-key", address) == 429
    wait_until(partial(answers, two, "", address, 429), within=1.2, what="the ban")
    for node in nodes:
        assert answers(node, key, address, 200)
    (ban,) = two.command("bans", "list")["bans"]
    assert (ban["subject"], ban["origin"]) == (f"ip:{address}", "automatic")
    assert two.command("bans", "lift", address) == ban
    for node in nodes:
        wait_until(partial(answers, node, "", address, 401), within=1.2, what="the lifting")


def test_operators_ban_on_all_servers_within_a_second(nodes: tuple[Node, Fleet]) -> None:
    """By the API of a server with workers, whose supervisor answers no checks itself."""
    one, two = nodes
    made = one.create_key(user_id="alice")
    key, address = str(made["key"]), "198.51.100.9"
    admin = str(one.create_key("extauth:admin", user_id="ops")["key"])
    for node in nodes:
        assert answers(node, key, address, 200)
    body = {"subject": f"key:{made['key_id']}", "lasts": "1h"}
    ban = two.admin("POST", "/bans", key=admin, body=body).body
    for node in nodes:
        wait_until(partial(answers, node, key, address, 429), within=1.2, what="the ban")
        assert node.admin("GET", "/bans", key=admin).body == {"bans": [ban]}
    # One ban, however many processes know it.
    wait_until(lambda: two.metric("extauth_bans") == 1, within=5, what="the metric")
    assert two.metric("extauth_ban_refusals_total", kind="key") > 0
    assert one.admin("DELETE", f"/bans/{ban['id']}", key=admin).body == ban
    for node in nodes:
        wait_until(partial(answers, node, key, address, 200), within=1.2, what="the lifting")


def test_who_fails_most_is_known_to_all(nodes: tuple[Node, Fleet]) -> None:
    """Failures of all servers and workers are added up, a few seconds later."""
    one, two = nodes
    admin = str(one.create_key("extauth:admin", user_id="ops")["key"])
    address = "203.0.113.1"
    for node in (one, two, two):
        assert check(node, "no-key", address) == 401

    def all_counted(node: Node) -> bool:
        offenders = node.admin("GET", "/abuse/offenders", key=admin).body["offenders"]
        return any(one["subject"] == f"ip:{address}" and one["failures"] == 3 for one in offenders)

    for node in nodes:
        wait_until(partial(all_counted, node), within=8, what="the count")
