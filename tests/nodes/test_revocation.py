"""Two servers on one Redis: what one of them changes holds from the very next check on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from extauth.clock import SystemClock
from extauth.keys.asked import Actor, NewKey
from extauth.management import open_key_management
from extauth.settings.load import load_settings
from tests.redis.server import RedisServer, running

from .node import Node

ROUNDS = 1_000
BY = Actor(name="tests", source="here")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """Run Redis and two servers on it."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        redis = stack.enter_context(running(RedisServer(folder / "redis")))
        made = []
        for name in ("one", "two"):
            node = Node(folder / name, store_url=redis.url)
            node.child.start()
            stack.callback(node.child.stop)
            stack.callback(node.close)
            made.append(node)
        yield made[0], made[1]


@pytest.fixture(scope="module")
def admin_key(nodes: tuple[Node, Node]) -> str:
    """Make the first admin key, by the command line."""
    return str(nodes[0].create_key("extauth:admin", user_id="ops")["key"])


async def make_keys(node: Node, number: int) -> list[tuple[str, str]]:
    """Make keys on the node's store; return ids and texts."""
    async with open_key_management(load_settings(node.config, {}), clock=SystemClock()) as management:
        new = NewKey(user_id="user-1", name="test", tier="default", environment="live")
        made = []
        for _ in range(number):
            issued = await management.service.create(new, BY)
            made.append((issued.record.key_id, issued.text))
        return made


def test_no_key_is_accepted_after_its_revocation_was_acknowledged(
    nodes: tuple[Node, Node], admin_key: str
) -> None:
    """A thousand keys, known to both servers, each revoked on one and checked at once on the other."""
    accepted = 0
    for round_number, (key_id, text) in enumerate(asyncio.run(make_keys(nodes[0], ROUNDS))):
        revoking, checking = nodes if round_number % 2 else reversed(nodes)
        assert checking.check(text) == 200
        revoked = revoking.admin("POST", f"/keys/{key_id}/revoke", key=admin_key)
        assert revoked.status == 200
        accepted += checking.check(text) != 401
    assert accepted == 0


def test_every_change_holds_from_the_next_check_on(nodes: tuple[Node, Node], admin_key: str) -> None:
    """Disabled, enabled, other scopes, rotated without a grace: back and forth, never a check late."""
    ((key_id, text),) = asyncio.run(make_keys(nodes[0], 1))
    one, two = nodes
    for _ in range(50):
        assert one.admin("POST", f"/keys/{key_id}/disable", key=admin_key).status == 200
        assert two.check(text) == 401
        assert one.admin("POST", f"/keys/{key_id}/enable", key=admin_key).status == 200
        assert two.check(text) == 200
    rotated = one.admin("POST", f"/keys/{key_id}/rotate", key=admin_key, body={"grace": "1h"})
    assert rotated.status == 201
    new = rotated.body["key"]
    assert (two.check(text), two.check(new)) == (200, 200)
    assert two.admin("POST", f"/keys/{key_id}/revoke", key=admin_key).status == 200
    assert (one.check(text), one.check(new)) == (401, 200)


def test_what_the_command_line_does_holds_everywhere(nodes: tuple[Node, Node]) -> None:
    """It works on the store directly, beside the servers."""
    made = nodes[0].create_key()
    assert [node.check(made["key"]) for node in nodes] == [200, 200]
    nodes[0].command("keys", "revoke", made["key_id"], "--yes", "--reason", "leaked")
    assert [node.check(made["key"]) for node in nodes] == [401, 401]
