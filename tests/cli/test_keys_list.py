"""`extauth keys list`: its filters, and how it goes on where a page is short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extauth.stores import sqlite_lists
from extauth.stores.base import KeyStore, KeyUse
from tests.keys import entry, record
from tests.shell import Shell


def listed(shell: Shell, *options: str) -> list[str]:
    """Return the users whose keys are listed: each test makes one key a user."""
    return [key["user_id"] for key in shell.run("keys", "list", *options, "--json").json["keys"]]


def test_filters_by_user_tier_and_state(shell: Shell) -> None:
    """What is not in force is disabled or revoked; filters hold all together."""
    shell.create("ada")
    disabled, revoked = (shell.create(user, "--tier", "free") for user in ("bob", "cy"))
    shell.create("dan", "--tier", "free")
    shell.run("keys", "disable", disabled["key_id"])
    shell.run("keys", "revoke", revoked["key_id"], "--yes")
    assert listed(shell, "--user-id", "bob") == ["bob"]
    assert listed(shell, "--tier", "free") == ["bob", "cy", "dan"]
    assert listed(shell, "--active") == ["ada", "dan"]
    assert listed(shell, "--inactive") == ["bob", "cy"]
    assert listed(shell, "--tier", "free", "--active") == ["dan"]


def test_filters_that_contradict_each_other_are_refused(shell: Shell) -> None:
    """Whatever their order: none of them silently wins."""
    for options in (("--active", "--inactive"), ("--inactive", "--active")):
        done = shell.run("keys", "list", *options)
        assert (done.code, done.out) == (2, "")
        assert "--active and --inactive can't be given together" in done.err


def test_keys_that_end_soon_are_found(shell: Shell) -> None:
    """Neither those that end later or never, nor those that have ended already."""
    shell.create("never")
    shell.create("soon", "--expires", "29d")
    shell.create("later", "--expires", "31d")
    past = datetime.now(UTC) - timedelta(days=1)

    async def add_ended(store: KeyStore) -> None:
        ended = record(user_id="ended", created_at=past - timedelta(days=1), expires_at=past)
        await store.add(ended, entry())

    shell.in_store(add_ended)
    assert listed(shell, "--expiring-within", "30d") == ["soon"]
    assert listed(shell) == ["ended", "never", "soon", "later"]


def test_keys_that_nobody_uses_are_found(shell: Shell) -> None:
    """By their last use, or by their age if they were never used."""
    now = datetime.now(UTC)

    async def fill(store: KeyStore) -> None:
        old = now - timedelta(days=200)
        for number, (user, used) in enumerate({"never": None, "long ago": 100, "lately": 1}.items()):
            key_id = f"AAAAbbbb000{number}"
            await store.add(record(key_id, user_id=user, created_at=old), entry())
            if used is not None:
                await store.note_uses([KeyUse(key_id=key_id, last_used=now - timedelta(days=used))])

    shell.create("new")
    shell.in_store(fill)
    assert listed(shell, "--unused-for", "90d") == ["never", "long ago"]


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store look at three records only for one page."""
    monkeypatch.setattr(sqlite_lists, "LOOKED_AT_ONCE", 3)


@pytest.mark.usefixtures("short_pages")
def test_a_short_page_is_not_the_end(shell: Shell) -> None:
    """The asked number is found, however many pages of others lie before it."""
    made: list[dict[str, Any]] = [shell.create(f"user-{number}") for number in range(11)]
    for key in made[:8]:
        shell.run("keys", "disable", key["key_id"])
    done = shell.run("keys", "list", "--active", "--limit", "2", "--json").json
    assert [key["user_id"] for key in done["keys"]] == ["user-8", "user-9"]
    rest = shell.run("keys", "list", "--active", "--cursor", done["next_cursor"], "--json").json
    assert [key["user_id"] for key in rest["keys"]] == ["user-10"]
    assert rest["next_cursor"] is None


@pytest.mark.usefixtures("short_pages")
def test_all_means_all(shell: Shell) -> None:
    """Through every page, without a cursor at the end."""
    made = [shell.create(f"user-{number}") for number in range(8)]
    done = shell.run("keys", "list", "--all", "--json").json
    assert [key["key_id"] for key in done["keys"]] == [key["key_id"] for key in made]
    assert done["next_cursor"] is None
    table = shell.run("keys", "list", "--all")
    assert len(table.out.splitlines()) == 9
    assert table.err == ""


def test_the_table_tells_states_apart(shell: Shell) -> None:
    """A rotated key is in grace, with the end of the grace where it comes first."""
    key = shell.create("ada", "--expires", "90d")
    rotated = shell.run("keys", "rotate", key["key_id"], "--grace", "2h", "--json").json
    gone = shell.create("bob")
    shell.run("keys", "rotate", gone["key_id"], "--grace", "0", "--yes")
    disabled = shell.create("cy")
    shell.run("keys", "disable", disabled["key_id"])
    rows = {line.split()[0]: line.split() for line in shell.run("keys", "list").out.splitlines()[1:]}
    assert rows[key["key_id"]][-3:] == ["in", "grace", rotated["old_key_works_until"]]
    assert rows[rotated["key_id"]][-2:] == ["active", key["expires_at"]]
    assert rows[gone["key_id"]][-2] == "rotated"
    assert rows[disabled["key_id"]][-2:] == ["disabled", "never"]
