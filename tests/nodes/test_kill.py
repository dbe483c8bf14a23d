"""A server that is killed in the middle of its work: what was acknowledged is there, nothing is half made."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .node import Node, node_on

CLIENTS = 4
WANTED = 1_000


@pytest.fixture(params=["sqlite", "redis"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """Give a server that is not started yet, on one store after the other."""
    with node_on(request.param, tmp_path) as node:
        yield node


def create_until_killed(node: Node, admin_key: str, acknowledged: list[dict[str, str]]) -> None:
    """Make keys until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", node.admin_port, timeout=10)
    body = '{"user_id": "user-1", "name": "test"}'
    headers = {"authorization": f"Bearer {admin_key}", "content-type": "application/json"}
    try:
        while len(acknowledged) < WANTED:
            connection.request("POST", "/admin/v1/keys", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 201, text
            acknowledged.append(json.loads(text))
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()


def test_every_acknowledged_key_works_after_a_kill(node: Node) -> None:
    """A thousand creations by several clients, killed somewhere among them: all is whole, and audited."""
    node.child.start()
    admin_key = str(node.create_key("extauth:admin", user_id="ops")["key"])
    acknowledged: list[dict[str, str]] = []
    clients = [
        threading.Thread(target=create_until_killed, args=(node, admin_key, acknowledged))
        for _ in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    many = random.randint(WANTED // 10, WANTED // 3)
    while len(acknowledged) < many and any(client.is_alive() for client in clients):
        clients[0].join(0.01)
    node.child.kill()
    for client in clients:
        client.join()
    assert len(acknowledged) >= many
    node.close()
    node.child.start()
    assert [node.check(made["key"]) for made in acknowledged] == [200] * len(acknowledged)
    listed = list_ids(node, admin_key)
    assert len(listed) == len(set(listed))
    assert {made["key_id"] for made in acknowledged} <= set(listed)
    # One creation of each client may have come about without its answer; each is a whole key.
    assert len(listed) <= len(acknowledged) + 1 + CLIENTS
    for key_id in set(listed) - {made["key_id"] for made in acknowledged}:
        assert node.admin("GET", f"/keys/{key_id}", key=admin_key).status == 200
    assert sorted(audited_ids(node, admin_key)) == sorted(listed)


def list_ids(node: Node, admin_key: str) -> list[str]:
    """Return the ids of all keys."""
    return [key["key_id"] for key in _all(node, admin_key, "/keys?limit=500", "keys")]


def audited_ids(node: Node, admin_key: str) -> list[str]:
    """Return the ids of all creations in the audit log."""
    entries = _all(node, admin_key, "/audit?limit=500&action=key.created", "entries")
    return [entry["key_id"] for entry in entries]


def _all(node: Node, admin_key: str, path: str, what: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = node.admin("GET", path + (f"&cursor={cursor}" if cursor else ""), key=admin_key)
        assert page.status == 200
        found += page.body[what]
        cursor = page.body["next_cursor"]
    return found
