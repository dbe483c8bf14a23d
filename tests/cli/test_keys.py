"""`extauth keys`: what it prints, where, with which exit code; a secret is printed once and kept nowhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from extauth.keys.token import parse_key
from tests.shell import SHOWN, Done, Shell

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def test_create_prints_the_record_and_the_key(shell: Shell) -> None:
    """All fields but the hash, plus `key`; times in RFC 3339, UTC; what was not asked for has its default."""
    created = shell.create(
        "ada", "--scope", "orders:read", "--scope", "a:*", "--tier", "free", "--expires", "90d"
    )
    assert list(created) == [*SHOWN, "key"]
    assert parse_key(created["key"]).key_id == created["key_id"]
    assert (created["user_id"], created["name"], created["tier"]) == ("ada", "a key", "free")
    assert (created["scopes"], created["environment"]) == (["orders:read", "a:*"], "live")
    assert (created["active"], created["revoked_at"], created["version"]) == (True, None, 1)
    assert (created["limits"], created["metadata"]) == ({}, {})
    assert MOMENT.fullmatch(created["created_at"])
    made, ends = (datetime.fromisoformat(created[name]) for name in ("created_at", "expires_at"))
    assert ends - made == timedelta(days=90)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
    assert shell.create()["expires_at"] is None
    assert shell.create("x", "--environment", "test")["key"].startswith("xa_test_")


def test_create_for_people_shows_the_key_on_a_line_of_its_own(shell: Shell) -> None:
    """With the advice to keep it; the hash isn't shown."""
    done = shell.run("keys", "create", "--user-id", "ada", "--name", "a key")
    assert done.code == 0
    (text,) = [line for line in done.out.splitlines() if line.startswith("xa_live_")]
    assert parse_key(text)
    assert "shown this once" in done.err
    assert "argon2" not in done.out


def test_the_secret_is_printed_once_and_stored_nowhere(shell: Shell) -> None:
    """Neither later commands nor any file of the data directory holds it."""
    created = shell.create()
    key = parse_key(created["key"])
    later = [
        shell.run("keys", "list"),
        shell.run("keys", "list", "--json"),
        shell.run("keys", "show", created["key_id"]),
        shell.run("keys", "show", created["key_id"], "--json"),
        shell.run("keys", "revoke", created["key_id"], "--yes", "--json"),
        shell.run("keys", "revoke", created["key_id"], "--yes"),
    ]
    stored = b"".join(path.read_bytes() for path in shell.folder.rglob("*") if path.is_file())
    assert created["key_id"].encode() in stored
    for shown in (*(done.out + done.err for done in later), stored.decode("latin-1")):
        assert key.secret not in shown
        assert key.tag not in shown
    assert all("argon2" not in done.out for done in later)


def test_show_prints_one_record(shell: Shell) -> None:
    """The same fields as create, without the key."""
    created = shell.create()
    shown = shell.run("keys", "show", created["key_id"], "--json").json
    assert {**shown, "key": created["key"]} == created
    assert created["key_id"] in shell.run("keys", "show", created["key_id"]).out


def test_list_prints_a_page(shell: Shell) -> None:
    """Oldest first, with the cursor to go on: in the JSON for programs, on stderr for people."""
    created = [shell.create(user) for user in ("ada", "bob", "ada")]
    listed = shell.run("keys", "list", "--json").json
    assert list(listed) == ["keys", "next_cursor"]
    assert [
        {**shown, "key": made["key"]} for shown, made in zip(listed["keys"], created, strict=True)
    ] == created
    assert listed["next_cursor"] is None
    first = shell.run("keys", "list", "--limit", "2", "--json").json
    rest = shell.run("keys", "list", "--cursor", first["next_cursor"], "--json").json
    assert [key["key_id"] for key in [*first["keys"], *rest["keys"]]] == [key["key_id"] for key in created]
    done = shell.run("keys", "list", "--limit", "2")
    assert done.err == f"More: --cursor {first['next_cursor']}\n"
    assert first["next_cursor"] not in done.out
    ada = shell.run("keys", "list", "--user-id", "ada", "--json").json
    assert [key["user_id"] for key in ada["keys"]] == ["ada", "ada"]


def test_the_table_has_one_line_for_each_key(shell: Shell) -> None:
    """However long: whoever pipes it into a program finds whole ids, names as they are, and the state."""
    long_name = "[/b] a name with [red]brackets[/red] and :smile: " + "x" * 79
    made = shell.run("keys", "create", "--user-id", "ada", "--name", long_name, "--json").json
    revoked = shell.create(
        "bob", *[option for number in range(9) for option in ("--scope", f"orders:{number}")]
    )
    shell.run("keys", "revoke", revoked["key_id"], "--yes")
    header, first, second = shell.run("keys", "list").out.splitlines()
    assert header.split() == ["KEY", "ID", "USER", "NAME", "TIER", "SCOPES", "STATE", "EXPIRES"]
    assert first.startswith(made["key_id"])
    assert long_name in first
    assert first.split()[-2:] == ["active", "never"]
    assert second.startswith(revoked["key_id"])
    assert "orders:0 orders:1" in second
    assert "revoked" in second


def test_an_empty_list_is_no_fault(shell: Shell) -> None:
    """Neither for programs nor for people."""
    assert shell.run("keys", "list", "--json").json == {"keys": [], "next_cursor": None}
    assert shell.run("keys", "list").code == 0


def test_revoke_asks_first(shell: Shell) -> None:
    """Which key it is about, on stderr; anything but yes leaves it as it is."""
    created = shell.create("ada")
    for answer in ("n\n", "\n", ""):
        done = shell.run("keys", "revoke", created["key_id"], answer=answer)
        assert (done.code, done.out) == (1, "")
        assert created["hint"] in done.err
        assert "ada" in done.err
    assert shell.run("keys", "show", created["key_id"], "--json").json["active"] is True
    done = shell.run("keys", "revoke", created["key_id"], answer="y\n")
    assert (done.code, done.out) == (0, f"Revoked {created['hint']}.\n")
    assert shell.run("keys", "show", created["key_id"], "--json").json["active"] is False


def test_revoke_prints_the_record_for_programs(shell: Shell) -> None:
    """With the moment; a second time it is the same."""
    created = shell.create()
    revoked = shell.run("keys", "revoke", created["key_id"], "--yes", "--json").json
    assert list(revoked) == SHOWN
    assert (revoked["active"], revoked["version"]) == (False, 2)
    assert MOMENT.fullmatch(revoked["revoked_at"])
    assert shell.run("keys", "revoke", created["key_id"], "--yes", "--json").json == revoked


FAULTS: list[tuple[list[str], str]] = [
    (["show", "nosuchkey"], "extauth: no key 'nosuchkey'\n"),
    (["revoke", "nosuchkey", "--yes"], "extauth: no key 'nosuchkey'\n"),
    (["revoke", "nosuchkey"], "extauth: no key 'nosuchkey'\n"),
    (["update", "nosuchkey", "--name", "x"], "extauth: no key 'nosuchkey'\n"),
    (["update", "nosuchkey", "--add-scope", "x"], "extauth: no key 'nosuchkey'\n"),
    (["disable", "nosuchkey"], "extauth: no key 'nosuchkey'\n"),
    (["enable", "nosuchkey"], "extauth: no key 'nosuchkey'\n"),
    (["rotate", "nosuchkey"], "extauth: no key 'nosuchkey'\n"),
    (["rotate", "nosuchkey", "--grace", "0"], "extauth: no key 'nosuchkey'\n"),
    (["grace", "nosuchkey"], "extauth: no key 'nosuchkey'\n"),
    (["list", "--cursor", "nonsense"], "extauth: --cursor: the cursor is not one that a list handed out\n"),
    (
        ["list", "--cursor", "9" * 30 + ".a"],
        "extauth: --cursor: the cursor is not one that a list handed out\n",
    ),
    (
        ["create", "--user-id", "two words", "--name", "x", "--tier", "gold"],
        (
            "extauth: --user-id: the user id needs 1 to 128 printable ASCII characters without spaces\n"
            "extauth: --tier: there is no tier 'gold'; there is default, free\n"
        ),
    ),
]


@pytest.mark.parametrize(("arguments", "message"), FAULTS)
def test_a_fault_is_told_on_stderr_with_exit_code_1(shell: Shell, arguments: list[str], message: str) -> None:
    """A line for each mistake with its option, nothing on stdout, no traceback."""
    assert shell.run("keys", *arguments) == Done(1, "", message)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["create", "--user-id", "x"],
        ["create", "--user-id", "x", "--name", "y", "--expires", "5"],
        ["create", "--user-id", "x", "--name", "y", "--expires", "0s"],
        ["create", "--user-id", "x", "--name", "y", "--expires", "2027-01-31"],
        ["create", "--user-id", "x", "--name", "y", "--expires", "2027-01-31T12:00:00"],
        ["create", "--user-id", "x", "--name", "y", "--expires", "2027-02-30T12:00:00Z"],
        ["create", "--user-id", "x", "--name", "y", "--expires", "5d", "--never-expires"],
        ["create", "--user-id", "x", "--name", "y", "--metadata", "team"],
        ["create", "--user-id", "x", "--name", "y", "--metadata", "=x"],
        ["create", "--user-id", "x", "--name", "y", "--metadata", "{x"],
        ["update"],
        ["update", "x"],
        ["update", "x", "--scope", "a", "--add-scope", "b"],
        ["update", "x", "--scope", "a", "--remove-scope", "b"],
        ["update", "x", "--limit", "1/second", "--tier-limits"],
        ["update", "x", "--quota", "1/month", "--tier-limits"],
        ["update", "x", "--quota", "{rate: 1/month"],
        ["update", "x", "--limit", "{rate: 1/second"],
        ["update", "x", "--expires", "5d", "--never-expires"],
        ["rotate", "x", "--grace", "soon"],
        ["purge"],
        ["purge", "--revoked-before", "soon"],
        ["import"],
        ["import", "nosuchfile"],
        ["list", "--all", "--limit", "5"],
        ["list", "--expiring-within", "2027-01-31T12:00:00Z"],
        ["list", "--limit", "0"],
        ["list", "--limit", "1001"],
        ["show"],
        ["delete", "x"],
        ["list", "--nonsense"],
    ],
)
def test_wrong_usage_has_exit_code_2(shell: Shell, arguments: list[str]) -> None:
    """The usage on stderr, and nothing is made."""
    done = shell.run("keys", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "Usage: extauth keys" in done.err
    assert not (shell.folder / "data").exists()


def test_create_takes_a_quota(shell: Shell) -> None:
    """Of the key's own, alone or beside rates, in each form; a mistake in it is told, and nothing is made."""
    assert shell.create("ada", "--quota", "5/month")["limits"] == {"quota": "5/month"}
    named = shell.create("ada", "--limit", "1/second", "--quota", "{rate: 5/day, name: daily}")
    assert named["limits"] == {"rates": ["1/second"], "quota": {"rate": "5/day", "name": "daily"}}
    done = shell.run("keys", "create", "--user-id", "x", "--name", "y", "--quota", "often")
    assert (done.code, done.out) == (1, "")
    assert "often" in done.err


def test_a_mistake_in_the_configuration_is_told(shell: Shell) -> None:
    """All of them, each on its line, before any store is touched."""
    (shell.folder / "extauth.yaml").write_text("keys: {prefix: X}\nstoer: {}\n")
    done = shell.run("keys", "list")
    assert (done.code, done.out) == (1, "")
    assert [line.split(": ")[0] for line in done.err.splitlines()] == ["extauth.yaml:1", "extauth.yaml:2"]
    assert not (shell.folder / "data").exists()


def test_a_store_that_cannot_be_opened_is_told(shell: Shell) -> None:
    """With the name of its file."""
    (shell.folder / "data").write_text("")
    done = shell.run("keys", "list")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("extauth: data/extauth.db: ")


def test_the_program_does_the_same(shell: Shell) -> None:
    """As `python -m extauth`, in processes of its own, one after the other on one store."""
    done = shell.spawn("keys", "create", "--user-id", "ada", "--name", "x", "--json")
    created = done.json
    assert list(created) == [*SHOWN, "key"]
    revoked = shell.spawn("--config", "extauth.yaml", "keys", "revoke", created["key_id"], "--yes")
    assert revoked == Done(0, f"Revoked {created['hint']}.\n", "")
    assert shell.spawn("keys", "show", "nosuchkey") == Done(1, "", "extauth: no key 'nosuchkey'\n")
