"""An operator moves house, changes the pepper, and loses it: with real servers, while checks go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.integration.processes import Child
from tests.redis.server import RedisServer, running

from .node import PEPPER, Node

OTHER_PEPPER = "the next pepper of these tests, made by nobody else"
FOREIGN = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


@contextmanager
def served(node: Node) -> Iterator[Node]:
    """Run a server for a while."""
    child: Child = node.child
    child.start()
    try:
        yield node
    finally:
        node.close()
        child.stop()


class Checking:
    """Checks one key again and again in a thread of its own."""

    def __init__(self, node: Node, key: str) -> None:
        self.statuses: list[int] = []
        self._node = node
        self._key = key
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.statuses.append(self._node.check(self._key))


def test_moving_from_sqlite_to_redis_while_checks_go_on(tmp_path: Path) -> None:
    """No check fails; all keys work at the new place with their state; what changed meanwhile comes along."""
    database = f"sqlite:///{tmp_path / 'extauth.db'}"
    with running(RedisServer(tmp_path / "redis")) as redis:
        old = Node(tmp_path / "old", store_url=database)
        keys = [old.create_key("orders:read", user_id=f"user-{number}") for number in range(6)]
        old.command("keys", "revoke", keys[0]["key_id"], "--yes")
        old.command("keys", "disable", keys[1]["key_id"])
        with served(old), Checking(old, keys[2]["key"]) as checking:
            moved = old.command("migrate", "--from", database, "--to", redis.url, "--yes")
            old.command("keys", "revoke", keys[3]["key_id"], "--yes")
            late = old.create_key(user_id="late")
            new = Node(tmp_path / "new", store_url=redis.url)
            with served(new):
                assert [new.check(key["key"]) for key in keys] == [401, 401, *[200] * 4]
                old.command("migrate", "--from", database, "--to", redis.url, "--yes")
                assert [new.check(key["key"]) for key in keys[:4]] == [401, 401, 200, 401]
                assert new.check(late["key"]) == 200
        assert set(checking.statuses) == {200}
        assert (moved["added"], moved["equal_keys"], moved["complete"]) == (6, 6, True)


def test_the_pepper_can_be_changed_and_lost(tmp_path: Path) -> None:
    """Keys made under the old one go on while it is listed; without it they go on by a setting only."""
    database = f"sqlite:///{tmp_path / 'extauth.db'}"

    def node(name: str, **keys: Any) -> Node:
        return Node(tmp_path / name, store_url=database, keys=keys)

    first = node("first").create_key()
    both = node("both", peppers=[OTHER_PEPPER, PEPPER])
    second = both.create_key()
    with served(both):
        assert [both.check(made["key"]) for made in (first, second)] == [200, 200]
    status = both.command("pepper", "status")
    needed = {one["pepper_id"]: one["keys"] for one in status["peppers"]}
    assert sorted(needed.values()) == [1, 1]
    with served(node("newest", peppers=[OTHER_PEPPER])) as newest:
        assert [newest.check(made["key"]) for made in (first, second)] == [401, 200]
    with served(node("lost", peppers=[OTHER_PEPPER], accept_untagged=True)) as lost:
        assert [lost.check(made["key"]) for made in (first, second)] == [200, 200]
        other = "y" if first["key"][-9] == "x" else "x"
        assert lost.check(first["key"][:-9] + other + first["key"][-8:]) == 401


def test_keys_of_another_system_work_as_they_are(tmp_path: Path) -> None:
    """Taken in by the command line beside the server, known to it at once."""
    node = Node(tmp_path / "node", store_url=f"sqlite:///{tmp_path / 'extauth.db'}", keys={"imported": True})
    lines = tmp_path / "keys.jsonl"
    lines.write_text(f'{{"key": "{FOREIGN}", "user_id": "stripe", "name": "old"}}\n')
    with served(node):
        node.command("keys", "import", str(lines))
        assert node.check(FOREIGN) == 200
        assert node.check(FOREIGN[:-1] + "x") == 401
