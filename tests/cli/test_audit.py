"""`extauth audit`: who changed what, and forgetting it when its time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extauth.stores import sqlite_lists
from extauth.stores.base import AuditEntry, KeyStore
from tests.keys import entry
from tests.shell import Done, Shell

NOW = datetime.now(UTC)
FIELDS = list(AuditEntry.__dataclass_fields__)


@pytest.fixture
def log(shell: Shell) -> Shell:
    """Give a shell whose log holds four entries: old, from the server, from the command line, just now."""

    async def fill(store: KeyStore) -> None:
        await store.note(entry("AAAAbbbb0001", at=NOW - timedelta(days=500), action="key.created"))
        await store.note(
            entry("AAAAbbbb0001", at=NOW - timedelta(days=30), action="key.rehashed", actor="server")
        )
        await store.note(
            entry("AAAAbbbb0002", at=NOW - timedelta(days=2), action="key.updated", actor="cli:ada")
        )
        await store.note(entry("AAAAbbbb0001", at=NOW, action="key.revoked", after={"active": False}))

    shell.in_store(fill)
    return shell


def listed(shell: Shell, *options: str) -> list[int]:
    """Return how many days ago the entries were that are shown."""
    entries = shell.run("audit", "list", *options, "--json").json["entries"]
    return [round((NOW - datetime.fromisoformat(entry["at"])) / timedelta(days=1)) for entry in entries]


def test_filters(log: Shell) -> None:
    """Each by itself and all together, newest first."""
    assert listed(log) == [0, 2, 30, 500]
    assert listed(log, "--key-id", "AAAAbbbb0002") == [2]
    assert listed(log, "--actor", "server") == [30]
    assert listed(log, "--action", "key.created") == [500]
    assert listed(log, "--since", "7d") == [0, 2]
    assert listed(log, "--until", "7d") == [30, 500]
    since = (NOW - timedelta(days=40)).isoformat().replace("+00:00", "Z")
    assert listed(log, "--since", since, "--until", "1d", "--key-id", "AAAAbbbb0001") == [30]


def test_pages(log: Shell) -> None:
    """With the cursor in the JSON for programs, on stderr for people."""
    first = log.run("audit", "list", "--limit", "3", "--json").json
    assert [list(entry) for entry in first["entries"]] == [FIELDS] * 3
    assert listed(log, "--cursor", first["next_cursor"]) == [500]
    assert log.run("audit", "list", "--limit", "3").err == f"More: --cursor {first['next_cursor']}\n"
    done = log.run("audit", "list", "--cursor", "nonsense")
    assert done == Done(1, "", "extauth: --cursor: the cursor is not one that a list handed out\n")


def test_a_short_page_is_not_the_end(log: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at so many entries only; the asked number is found all the same."""
    monkeypatch.setattr(sqlite_lists, "LOOKED_AT_ONCE", 1)
    assert listed(log, "--until", "7d", "--limit", "1") == [30]
    assert listed(log, "--action", "key.created") == [500]


def test_the_table_says_what_changed(shell: Shell) -> None:
    """From what to what; of a new key whose it is; and a terminal obeys nothing of it."""
    key: dict[str, Any] = shell.create("ada", "--scope", "a:b")
    shell.run("keys", "update", key["key_id"], "--tier", "free", "--scope", "c:d")

    async def fill(store: KeyStore) -> None:
        await store.note(entry(before={"name": "x"}, after={"name": "\x1b[2J"}))

    shell.in_store(fill)
    header, spoilt, updated, created = shell.run("audit", "list").out.splitlines()
    assert header.split() == ["TIME", "ACTOR", "SOURCE", "ACTION", "KEY", "ID", "CHANGE"]
    assert spoilt.rstrip().endswith("name x → ·[2J")
    assert updated.rstrip().endswith("tier default → free, scopes a:b → c:d")
    assert created.rstrip().endswith("user_id ada, name a key, tier default, scopes a:b")
    assert key["key_id"] in created


def test_a_key_made_by_rotation_has_a_history_of_its_own(shell: Shell) -> None:
    """Whoever asks for the new key learns what it may do and which one it succeeds."""
    old = shell.create("ada", "--scope", "a:b", "--scope", "c:*")["key_id"]
    new = shell.run("keys", "rotate", old, "--json").json["key_id"]
    (entry,) = shell.run("audit", "list", "--key-id", new, "--json").json["entries"]
    assert (entry["action"], entry["after"]["rotated_from"]) == ("key.created", old)
    rotated = shell.run("audit", "list", "--key-id", old, "--json").json["entries"][0]
    assert (rotated["action"], rotated["after"]["rotated_to"]) == ("key.rotated", new)
    assert [entry[name] for name in ("at", "actor", "source")] == [
        rotated[name] for name in ("at", "actor", "source")
    ]
    change = f"user_id ada, name a key, tier default, scopes a:b c:*, rotated_from {old}"
    assert shell.run("audit", "list", "--key-id", new).out.splitlines()[1].rstrip().endswith(change)


def test_a_new_key_without_scopes_says_so(shell: Shell) -> None:
    """Nothing where scopes would stand could be read as scopes that are not shown."""
    shell.create("ada")
    assert shell.run("audit", "list").out.rstrip().endswith("tier default, scopes none")


def test_trim_forgets_what_is_older_than_the_retention(log: Shell) -> None:
    """And writes nothing else: the log doesn't grow by it."""
    assert log.run("audit", "trim") == Done(0, "Forgot what is older than 400d: 1 of the entries.\n", "")
    assert listed(log) == [0, 2, 30]
    log.configure(audit={"retention": "7d"})
    before = datetime.now(UTC)
    trimmed = log.run("audit", "trim", "--json").json
    assert trimmed["trimmed"] == 1
    limit = datetime.fromisoformat(trimmed["before"]) + timedelta(days=7)
    assert before - timedelta(seconds=1) <= limit <= datetime.now(UTC)
    assert listed(log) == [0, 2]


@pytest.mark.parametrize(
    "options", [["--since", "soon"], ["--limit", "0"], ["--until", "2027-13-01T00:00:00Z"]]
)
def test_wrong_usage_has_exit_code_2(shell: Shell, options: list[str]) -> None:
    """Before any store is touched."""
    done = shell.run("audit", "list", *options)
    assert (done.code, done.out) == (2, "")
    assert not (shell.folder / "data").exists()
