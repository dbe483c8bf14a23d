"""`extauth keys update`, `disable`, `enable`, `rotate`, `grace`, `purge`: a key's life after its creation."""

from __future__ import annotations

import os
import pwd
import re
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extauth.errors import StoreError
from extauth.keys.asked import Actor
from extauth.keys.service import KeyService
from extauth.stores.base import KeyStore, KeyUse
from extauth.stores.sqlite import SqliteKeyStore
from tests.keys import entry, record
from tests.shell import SHOWN, Done, Shell


def update(shell: Shell, key: dict[str, Any], *options: str) -> dict[str, Any]:
    """Change a key, and return its record."""
    changed: dict[str, Any] = shell.run("keys", "update", key["key_id"], *options, "--json").json
    assert list(changed) == SHOWN
    return changed


def test_create_takes_everything_that_a_key_can_be(shell: Shell) -> None:
    """Limits of its own, metadata in both forms, a time to end at."""
    created = shell.create(
        "ada",
        *("--limit", "5/second burst 9", "--limit", "100/day"),
        *("--metadata", "team=core", "--metadata", '{"n": 1, "team": "edge"}'),
        *("--expires", "2099-01-31T13:00:00+01:00"),
    )
    assert created["limits"] == {"rates": ["5/second burst 9", "100/day"]}
    assert created["metadata"] == {"team": "edge", "n": 1}
    assert created["expires_at"] == "2099-01-31T12:00:00Z"


def test_a_key_without_an_end_needs_saying_so_where_there_is_a_default(shell: Shell) -> None:
    """keys.default_lifetime holds unless --never-expires asks for none."""
    shell.configure(keys={"default_lifetime": "30d"})
    made, ends = (datetime.fromisoformat(shell.create()[name]) for name in ("created_at", "expires_at"))
    assert timedelta(days=29) < ends - made < timedelta(days=31)
    assert shell.create("x", "--never-expires")["expires_at"] is None


def test_every_mistake_of_a_key_is_told_at_its_option(shell: Shell) -> None:
    """Each on a line of its own."""
    options = ("--scope", "two words", "--limit", "often", "--expires", "2001-01-31T12:00:00Z")
    done = shell.run("keys", "create", "--user-id", "x", "--name", "y", *options)
    assert (done.code, done.out) == (1, "")
    places = [line.split(": ")[1] for line in done.err.splitlines()]
    assert places == ["--scope", "--expires", "--limit"]


def test_two_rates_of_one_period_are_told_apart_by_a_name(shell: Shell) -> None:
    """The form that the message advises is one that the command takes."""
    options = ("--limit", "10/second", "--limit", "5/second burst 50")
    done = shell.run("keys", "create", "--user-id", "x", "--name", "y", *options)
    (advised,) = re.findall(r"as in (\{.*\})$", done.err.strip())
    created = shell.create("x", "--limit", "5/second burst 50", "--limit", advised)
    rates = ["5/second burst 50", {"rate": "10/second", "name": "other"}]
    assert created["limits"] == {"rates": rates}
    assert shell.run("keys", "show", created["key_id"]).out.count('"name":"other"') == 1


def test_update_changes_what_was_asked_and_nothing_else(shell: Shell) -> None:
    """Each option by itself; what is given replaces what was there."""
    key = shell.create("ada", "--scope", "a:b", "--metadata", "x=y", "--limit", "1/day")
    before = shell.run("keys", "show", key["key_id"], "--json").json
    changes: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("--name", "other"), {"name": "other"}),
        (("--tier", "free"), {"tier": "free"}),
        (("--scope", "c:d", "--scope", "e:*"), {"scopes": ["c:d", "e:*"]}),
        (("--add-scope", "f", "--remove-scope", "c:d"), {"scopes": ["e:*", "f"]}),
        (("--add-scope", "f"), {}),
        (("--expires", "2099-01-31T12:00:00Z"), {"expires_at": "2099-01-31T12:00:00Z"}),
        (("--never-expires",), {"expires_at": None}),
        (("--limit", "2/day"), {"limits": {"rates": ["2/day"]}}),
        (("--quota", "9/month"), {"limits": {"quota": "9/month"}}),
        (("--limit", "2/day", "--quota", "9/month"), {"limits": {"rates": ["2/day"], "quota": "9/month"}}),
        (("--tier-limits",), {"limits": {}}),
        (("--metadata", "p=q"), {"metadata": {"p": "q"}}),
        (("--metadata", "{}"), {"metadata": {}}),
    ]
    for options, changed in changes:
        after = update(shell, key, *options)
        assert after == {**before, **changed, "version": after["version"]}, options
        before = after
    ends = update(shell, key, "--expires", "30d")["expires_at"]
    assert abs(datetime.fromisoformat(ends) - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    assert "version" in shell.run("keys", "update", key["key_id"], "--name", "x").out


def test_a_scope_that_is_not_held_cannot_be_removed(shell: Shell) -> None:
    """Whoever removes orders:read from a key that holds orders:* must hear that it still may read."""
    key = shell.create("ada", "--scope", "orders:*")
    done = shell.run("keys", "update", key["key_id"], "--remove-scope", "orders:read")
    message = "extauth: --remove-scope: the key doesn't hold orders:read; its scopes are: orders:*\n"
    assert done == Done(1, "", message)


def test_scopes_are_not_changed_over_somebody_elses_change(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read must be what is changed."""
    key = shell.create("ada", "--scope", "a")
    get = KeyService.get
    changed = False

    async def get_and_change(self: KeyService, key_id: str) -> Any:
        nonlocal changed
        found = await get(self, key_id)
        if not changed:
            changed = True
            await self.disable(key_id, Actor(name="somebody", source="elsewhere"))
        return found

    monkeypatch.setattr(KeyService, "get", get_and_change)
    done = shell.run("keys", "update", key["key_id"], "--add-scope", "b")
    assert (done.code, done.out) == (1, "")
    assert "was changed meanwhile" in done.err
    assert shell.run("keys", "show", key["key_id"], "--json").json["scopes"] == ["a"]


def test_disabling_can_be_taken_back_and_revoking_cannot(shell: Shell) -> None:
    """Each says what it did, in words and for programs."""
    key = shell.create()
    assert shell.run("keys", "disable", key["key_id"]) == Done(0, f"Disabled {key['hint']}.\n", "")
    assert shell.run("keys", "disable", key["key_id"], "--json").json["active"] is False
    assert shell.run("keys", "enable", key["key_id"]) == Done(0, f"Enabled {key['hint']}.\n", "")
    assert shell.run("keys", "enable", key["key_id"], "--json").json["active"] is True
    revoked = shell.run("keys", "revoke", key["key_id"], "--reason", "left us", "--yes", "--json").json
    assert revoked["revoked_reason"] == "left us"
    assert shell.run("keys", "disable", key["key_id"]).out == f"{key['hint']} is revoked already.\n"
    done = shell.run("keys", "enable", key["key_id"])
    assert done == Done(1, "", "extauth: a revoked key can't be enabled; make another\n")


def test_a_reason_that_cannot_be_kept_is_told(shell: Shell) -> None:
    """At its option, and the key goes on working."""
    key = shell.create()
    done = shell.run("keys", "revoke", key["key_id"], "--yes", "--reason", "x" * 257)
    message = "extauth: --reason: a reason has 256 printable characters at most\n"
    assert done == Done(1, "", message)


def test_rotate_prints_the_new_key_once_and_until_when_the_old_one_works(shell: Shell) -> None:
    """Both work meanwhile."""
    old = shell.create("ada", "--scope", "a:b")
    done = shell.run("keys", "rotate", old["key_id"], "--grace", "24h")
    assert done.code == 0
    (text,) = [line for line in done.out.splitlines() if line.startswith("xa_live_")]
    (until,) = [line.split()[-1] for line in done.out.splitlines() if line.startswith("old key works until")]
    left = datetime.fromisoformat(until) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    assert f"extauth keys grace {old['key_id']}" in done.err
    assert shell.ask(old["key"], text) == [200, 200]
    later = [shell.run("keys", *command) for command in (["list"], ["show", old["key_id"]])]
    assert not any(text[-40:] in done.out + done.err for done in later)


def test_rotate_tells_programs_the_same(shell: Shell) -> None:
    """The new record, its key, and until when the old one works."""
    old = shell.create("ada", "--scope", "a:b")
    new = shell.run("keys", "rotate", old["key_id"], "--json").json
    assert list(new) == [*SHOWN, "key", "old_key_works_until"]
    assert (new["rotated_from"], new["scopes"]) == (old["key_id"], ["a:b"])
    shown = shell.run("keys", "show", old["key_id"], "--json").json
    assert shown["grace_until"] == new["old_key_works_until"]
    assert shown["rotated_to"] == new["key_id"]


def test_a_rotation_without_grace_asks_first(shell: Shell) -> None:
    """Because whoever still uses the old key is locked out at once."""
    old = shell.create()
    for zero in ("0", "0s"):
        done = shell.run("keys", "rotate", old["key_id"], "--grace", zero, answer="n\n")
        assert (done.code, done.out) == (1, "")
        assert old["hint"] in done.err
    new = shell.run("keys", "rotate", old["key_id"], "--grace", "0", "--yes", "--json").json
    assert shell.ask(old["key"], new["key"]) == [401, 200]


def test_a_new_key_is_told_though_the_store_fails_behind_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It exists by then, and nobody could ever learn it again."""
    old = shell.create()
    get = SqliteKeyStore.get
    calls = 0

    async def get_once(self: SqliteKeyStore, key_id: str) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise StoreError("gone")
        return await get(self, key_id)

    monkeypatch.setattr(SqliteKeyStore, "get", get_once)
    new = shell.run("keys", "rotate", old["key_id"], "--json").json
    assert new["key"].startswith("xa_live_")
    assert new["old_key_works_until"] is None


def test_a_rotation_that_cannot_be_is_told(shell: Shell) -> None:
    """A grace that is too long, and a key that was rotated before."""
    old = shell.create()
    done = shell.run("keys", "rotate", old["key_id"], "--grace", "31d")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("extauth: --grace: the grace may be")
    shell.run("keys", "rotate", old["key_id"])
    done = shell.run("keys", "rotate", old["key_id"])
    assert (done.code, done.out) == (1, "")
    assert "was rotated already" in done.err


def use(shell: Shell, key_id: str, **calls: int) -> None:
    """Note calls with a key, as servers do."""
    addresses = {name.replace("_", "."): number for name, number in calls.items()}

    async def note(store: KeyStore) -> None:
        await store.note_uses([KeyUse(key_id=key_id, last_used=datetime.now(UTC), calls=addresses)])

    shell.in_store(note)


def test_the_grace_says_who_still_uses_the_old_key(shell: Shell) -> None:
    """Safe to end while nobody does, not safe with the addresses of those who do, over when it is over."""
    old = shell.create()
    new = shell.run("keys", "rotate", old["key_id"], "--json").json
    report = shell.run("keys", "grace", old["key_id"], "--json").json
    assert list(report) == [
        "key_id", "rotated_to", "rotated_at", "grace_until", "calls", "addresses", "is_safe"
    ]  # fmt: skip
    assert (report["calls"], report["addresses"], report["is_safe"]) == (0, {}, True)
    assert report["rotated_to"] == new["key_id"]
    assert "Ending the grace is safe: nobody" in shell.run("keys", "grace", old["key_id"]).out
    use(shell, old["key_id"], **{"192_0_2_7": 3, "192_0_2_8": 1})
    report = shell.run("keys", "grace", old["key_id"], "--json").json
    assert (report["calls"], report["is_safe"]) == (4, False)
    assert report["addresses"] == {"192.0.2.7": 3, "192.0.2.8": 1}
    for command in ("grace", "show"):
        shown = shell.run("keys", command, old["key_id"]).out
        assert "Ending the grace is not safe" in shown
        assert ["192.0.2.7", "3"] in [line.split() for line in shown.splitlines()]
    shell.run("keys", "revoke", old["key_id"], "--yes")
    assert "doesn't work any more: it is revoked" in shell.run("keys", "grace", old["key_id"]).out


def test_show_tells_programs_the_grace_too(shell: Shell) -> None:
    """Of a rotated key only."""
    old = shell.create()
    assert "grace" not in shell.run("keys", "show", old["key_id"], "--json").json
    shell.run("keys", "rotate", old["key_id"])
    shown = shell.run("keys", "show", old["key_id"], "--json").json
    assert list(shown) == [*SHOWN, "grace"]
    assert shown["grace"] == shell.run("keys", "grace", old["key_id"], "--json").json


def test_a_key_that_was_not_rotated_has_no_grace(shell: Shell) -> None:
    """That is told, instead of calling it safe to end."""
    key = shell.create()
    done = shell.run("keys", "grace", key["key_id"])
    assert done == Done(1, "", f"extauth: key {key['key_id']} was not rotated, so it has no grace\n")


def fill_with_revoked(shell: Shell) -> None:
    """Put one living key and three revoked ones into the store, two of them long ago."""
    now = datetime.now(UTC)

    async def fill(store: KeyStore) -> None:
        for number, days in enumerate((None, 1, 100, 200)):
            revoked_at = None if days is None else now - timedelta(days=days)
            key = record(
                f"AAAAbbbb000{number}", revoked_at=revoked_at, active=days is None, pepper_id="0badc0de"
            )
            await store.add(key, entry())

    shell.create()
    shell.in_store(fill)


def test_purge_asks_first_and_forgets_what_was_revoked_long_ago(shell: Shell) -> None:
    """How many it is about; nothing else goes."""
    fill_with_revoked(shell)
    done = shell.run("keys", "purge", "--revoked-before", "90d", answer="n\n")
    assert (done.code, done.out) == (1, "")
    assert "Forget 2 revoked keys for good?" in done.err
    done = shell.run("keys", "purge", "--revoked-before", "90d", answer="y\n")
    assert done.code == 0
    assert done.out.startswith("Forgot 2 keys")
    left = [key["key_id"] for key in shell.run("keys", "list", "--all", "--json").json["keys"]]
    assert {key_id for key_id in left if key_id.startswith("AAAA")} == {"AAAAbbbb0000", "AAAAbbbb0001"}
    assert shell.run("keys", "purge", "--revoked-before", "90d").out.startswith("Forgot 0 keys revoked")


def test_purge_tells_programs_how_many(shell: Shell) -> None:
    """And before when."""
    fill_with_revoked(shell)
    done = shell.run("keys", "purge", "--revoked-before", "2099-01-31T12:00:00Z", "--yes", "--json").json
    assert done == {"purged": 3, "revoked_before": "2099-01-31T12:00:00Z"}


@pytest.mark.parametrize("command", ["revoke KEY", "rotate KEY --grace 0", "purge --revoked-before 1d"])
def test_without_a_terminal_nobody_is_asked(shell: Shell, command: str) -> None:
    """The command ends at once, says why, and has changed nothing; an answer in a pipe counts for nothing."""
    key = shell.create()
    fill_with_revoked(shell)
    before = shell.run("keys", "list", "--all", "--json").json
    done = shell.run("keys", *command.replace("KEY", key["key_id"]).split(), given="y\n")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("extauth: ")
    assert done.err.endswith("this is no terminal: --yes goes on without asking.\n")
    assert shell.run("keys", "list", "--all", "--json").json == before


def test_the_audit_log_knows_who_used_the_command_line(shell: Shell) -> None:
    """By the login and the machine, with a reason where one was given."""
    key = shell.create()
    shell.run("keys", "revoke", key["key_id"], "--reason", "left us", "--yes")
    entries = shell.run("audit", "list", "--key-id", key["key_id"], "--json").json["entries"]
    assert [entry["action"] for entry in entries] == ["key.revoked", "key.created"]
    assert {entry["source"] for entry in entries} == {socket.gethostname()}
    assert {entry["actor"] for entry in entries} == {f"cli:{pwd.getpwuid(os.getuid()).pw_name}"}
    assert entries[0]["after"]["revoked_reason"] == "left us"


def test_a_process_without_a_login_is_told_by_its_number(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers, where no name belongs to the number."""

    def nobody(_number: int) -> Any:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    shell.create()
    (entry,) = shell.run("audit", "list", "--json").json["entries"]
    assert entry["actor"] == f"cli:uid-{os.getuid()}"
