"""The command line with a real Redis: moving there and back, and every command on the shared store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis.server import RedisServer, running
from tests.shell import Shell

PEPPER = "a pepper that all servers share, long enough"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Give an empty Redis."""
    with running(RedisServer(tmp_path / "redis")) as server:
        yield server


def configure(shell: Shell, url: str) -> None:
    """Use a store, with more patience than a server has that answers proxies."""
    shell.configure(store={"url": url, "timeout": "5s"}, keys={"peppers": [PEPPER], "imported": True})


def exported(shell: Shell) -> list[str]:
    """Return all records of the configured store, hashes and all."""
    return sorted(shell.run("keys", "export", "--with-hashes").out.splitlines())


def test_keys_move_there_and_back(shell: Shell, redis: RedisServer) -> None:
    """Nothing of a record is lost on either way, and each way can be gone again for what changed since."""
    embedded = "sqlite:///data/extauth.db"
    configure(shell, embedded)
    key, other = (
        shell.create("ada", "--scope", "a:b", "--metadata", '{"n": 1}', "--expires", "9d"),
        shell.create(),
    )
    shell.run("keys", "rotate", key["key_id"])
    shell.run("keys", "revoke", other["key_id"], "--yes", "--reason", "gone")
    before = exported(shell)
    there = shell.run("migrate", "--to", redis.url, "--json").json
    assert (there["added"], there["complete"]) == (3, True)
    assert shell.run("migrate", "--to", redis.url, "--json").json["same"] == 3
    configure(shell, redis.url)
    assert exported(shell) == before
    shell.run("keys", "update", key["key_id"], "--name", "other")
    shell.run("keys", "update", key["key_id"], "--tier", "free")
    changed = exported(shell)
    back = shell.run("migrate", "--to", embedded, "--yes", "--json")
    assert back.code == 0, back.err
    assert exported(shell) == changed
    configure(shell, embedded)
    assert exported(shell) == changed
    assert shell.run("keys", "show", key["key_id"], "--json").json["name"] == "other"


def test_every_command_works_on_a_shared_store(shell: Shell, redis: RedisServer) -> None:
    """As on a file."""
    configure(shell, redis.url)
    key: dict[str, Any] = shell.create("ada", "--scope", "a:b")
    key_id = key["key_id"]
    assert [one["key_id"] for one in shell.run("keys", "list", "--json").json["keys"]] == [key_id]
    assert shell.run("keys", "update", key_id, "--add-scope", "c", "--json").json["scopes"] == ["a:b", "c"]
    assert shell.run("keys", "disable", key_id, "--json").json["active"] is False
    assert shell.run("keys", "enable", key_id, "--json").json["active"] is True
    new = shell.run("keys", "rotate", key_id, "--json").json
    assert shell.run("keys", "grace", key_id, "--json").json["is_safe"] is True
    assert shell.run("keys", "revoke", key_id, "--yes", "--json").json["active"] is False
    assert shell.run("pepper", "status", "--json").json["peppers"][0]["keys"] == 1
    line = {"key": "other-system-key-000001", "user_id": "bob", "name": "x"}
    done = shell.run("keys", "import", shell.write("foreign.jsonl", line), "--json").json
    assert done["adopted"] == 1
    purge = ("keys", "purge", "--revoked-before", "2099-01-31T12:00:00Z", "--yes", "--json")
    assert shell.run(*purge).json["purged"] == 1
    left = [one["key_id"] for one in shell.run("keys", "list", "--all", "--json").json["keys"]]
    assert (len(left), left[0]) == (2, new["key_id"])
    actions = [entry["action"] for entry in shell.run("audit", "list", "--json").json["entries"]]
    assert {"key.created", "key.updated", "key.rotated", "key.revoked", "key.imported", "key.purged"} <= set(
        actions
    )
    shell.configure(
        store={"url": redis.url, "timeout": "5s"}, keys={"peppers": [PEPPER]}, audit={"retention": "1ms"}
    )
    assert shell.run("audit", "trim", "--json").json["trimmed"] == len(actions)


def test_a_redis_that_is_not_there_is_told(shell: Shell, redis: RedisServer) -> None:
    """As a fault of the store, in one line, without its password."""
    configure(shell, "sqlite:///data/extauth.db")
    shell.create()
    redis.child.stop()
    done = shell.run("migrate", "--to", f"redis://user:hunter2hunter2@127.0.0.1:{redis.port}")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("extauth: ")
    assert "hunter2" not in done.err
