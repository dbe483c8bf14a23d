"""The dashboard of a server with several workers on a Redis, as an operator runs it, and of its neighbour."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import wait_until
from tests.nodes.node import HOST, PEPPER, Node
from tests.redis.server import RedisServer, running

pytestmark = pytest.mark.servers
WITHIN = 10.0


class Tab:
    """A browser's session on a node, without a browser."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cookie = self.csrf = ""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask below `/dashboard/api`; return status and body."""
        headers = {"sec-fetch-site": "same-origin", "cookie": self.cookie, "x-csrf-token": self.csrf}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{HOST}:{self.node.admin_port}/dashboard/api{path}",
            data=content,
            method=method,
            headers={**headers, **({} if content is None else {"content-type": "application/json"})},
        )
        try:
            with urllib.request.urlopen(request, timeout=WITHIN) as answer:
                if line := answer.headers["set-cookie"]:
                    self.cookie = line.partition(";")[0]
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def sign_in(self, key: str) -> Tab:
        """Sign in."""
        status, session = self.ask("POST", "/session", {"key": key})
        assert status == 200, session
        self.csrf = session["csrf"]
        return self

    def copy_to(self, node: Node) -> Tab:
        """Return the same session as another node sees it."""
        tab = Tab(node)
        tab.cookie, tab.csrf = self.cookie, self.csrf
        return tab


TIERS = {"default": {"rates": ["3/hour"]}}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis for all tests here."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[tuple[Node, Node]]:
    """Give a node with two workers and one without, on one Redis."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        nodes = (
            Node(folder / "one", store_url=redis.url, workers=2, tiers=TIERS),
            Node(folder / "two", store_url=redis.url, tiers=TIERS),
        )
        for node in nodes:
            node.child.start()
            stack.callback(node.child.stop)
            stack.callback(node.close)
        yield nodes


def test_what_workers_and_other_servers_do_shows(nodes: tuple[Node, Node]) -> None:
    """A limit that they spent, refusals with their reason, and usage: all from the store."""
    node, other = nodes
    key = node.create_key(user_id="alice")
    tab = Tab(node).sign_in(key["key"])
    assert sorted(each.check(key["key"]) for each in (node, other, node, other)) == [200, 200, 200, 429]

    def seen() -> bool:
        _, page = tab.ask("GET", "/me/overview")
        total = page["hour"]["series"][0]["total"]
        return bool((total["allowed"], total["rate_limited"], len(page["refusals"])) == (3, 1, 1))

    wait_until(seen, within=WITHIN, what="usage on the page")
    _, page = tab.ask("GET", "/me/overview")
    (limit,) = page["keys"][0]["limits"]["limits"]
    assert (limit["remaining"], limit["would_refuse"]) == (0, True)
    assert 0 < limit["retry_seconds"] <= 1200
    (refusal,) = page["refusals"]
    assert (refusal["code"], refusal["path"], refusal["key_id"]) == ("rate_limited", "/v1/x", key["key_id"])


def test_a_session_holds_on_every_server_and_ends_on_every_one(nodes: tuple[Node, Node]) -> None:
    """They share a pepper; who signs out on one is signed out on all; so does a revoked key's holder."""
    node, other = nodes
    key = node.create_key(user_id="bob")["key"]
    tab = Tab(node).sign_in(key)
    there = tab.copy_to(other)
    assert there.ask("GET", "/session")[0] == 200
    assert there.ask("DELETE", "/session")[0] == 204
    status, body = tab.ask("GET", "/session")
    assert (status, body["code"]) == (401, "no_session")
    again = Tab(node).sign_in(key)
    node.command("keys", "revoke", again.cookie.partition("=")[2].partition(".")[0], "--yes")
    for each in (again, again.copy_to(other)):
        assert each.ask("GET", "/session")[0] == 401


def test_operators_see_all_workers(nodes: tuple[Node, Node]) -> None:
    """Their number and health, what they have counted together, and a search over the shared store."""
    node, _ = nodes
    operator = Tab(node).sign_in(node.create_key("extauth:admin", user_id="ops")["key"])
    node.create_key(user_id="zoe")

    def told_well() -> bool:
        """Tell whether both pages do; on a busy machine one of the workers may just have waited for Redis."""
        told = operator.ask("GET", "/system")[1]["worker_health"]
        return bool(
            told == operator.ask("GET", "/overview")[1]["health"]["workers"] == {"0": "ok", "1": "ok"}
        )

    wait_until(told_well, within=WITHIN, what="both workers are told to be well")
    status, page = operator.ask("GET", "/system")
    assert (status, page["workers"]) == (200, 2)
    assert page["store"]["kind"] == "server"
    assert PEPPER not in json.dumps(page)
    assert operator.ask("GET", "/search?q=zo")[1]["users"] == [{"user_id": "zoe", "keys": 1}]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_stopped_ends_its_streams(redis: RedisServer, tmp_path: Path, workers: int) -> None:
    """With the word that it is the end, instead of waiting for pages that are left open."""
    node = Node(tmp_path, store_url=redis.url, workers=workers)
    node.child.start()
    try:
        tab = Tab(node).sign_in(node.create_key()["key"])
        url = f"http://{HOST}:{node.admin_port}/dashboard/api/events?topic=me"
        asked = urllib.request.Request(url, headers={"cookie": tab.cookie})
        with urllib.request.urlopen(asked, timeout=WITHIN) as stream:
            assert stream.readline() == b": still here\n"
            node.child.stop()
            assert stream.read().endswith(b"event: end\ndata: {}\n\n")
    finally:
        node.child.stop()
