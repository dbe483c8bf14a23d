"""`extauth migrate`: from one store to another, interrupted, resumed, and never over somebody's change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extauth.errors import StoreError
from extauth.model import RECORD_FIELDS, ApiKey
from extauth.stores.base import AuditEntry, GraceUse, KeyStore, KeyUse
from extauth.stores.shadowed import Place, ShadowedCount, oldest_kept
from extauth.stores.sqlite import SqliteKeyStore
from tests.keys import entry
from tests.shell import Done, Shell

TARGET = "sqlite:///new/extauth.db"
SOURCE = "sqlite:///data/extauth.db"


def migrate(shell: Shell, *options: str, **run: Any) -> Done:
    """Migrate from the configured store to the new one."""
    return shell.run("migrate", "--to", TARGET, *options, **run)


def report(shell: Shell, *options: str) -> dict[str, Any]:
    """Migrate, and return what programs are told; the exit code says the same as the report."""
    done = migrate(shell, "--yes", *options, "--json")
    found: dict[str, Any] = done._replace(code=0, err="").json
    assert done.code == (found["complete"] is False)
    return found


def counts(found: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return what was added, brought up to date, there already, and left as it is."""
    return (found["added"], found["updated"], found["same"], len(found["differing"]))


def records(shell: Shell, folder: str) -> dict[str, ApiKey]:
    """Return all records of a store."""

    async def read(store: KeyStore) -> dict[str, ApiKey]:
        return {key.key_id: key for key in (await store.list(limit=1_000)).keys}

    return shell.in_store(read, folder)


def change(shell: Shell, key: dict[str, Any], folder: str, **changes: Any) -> None:
    """Change a key in one of the stores, as its servers do."""

    async def save(store: KeyStore) -> None:
        record = await store.get(key["key_id"])
        assert record is not None
        now = datetime.now(UTC)
        changed = replace(record, version=record.version + 1, **changes)
        await store.save(changed, entry(key["key_id"], at=now, action="key.updated"))

    shell.in_store(save, folder)


def use(shell: Shell, key: dict[str, Any], folder: str, calls: int = 0) -> datetime:
    """Note a use of a key in one of the stores, as its servers do."""
    moment = datetime.now(UTC)
    addresses = {"192.0.2.7": calls} if calls else {}

    async def note(store: KeyStore) -> None:
        await store.note_uses([KeyUse(key_id=key["key_id"], last_used=moment, calls=addresses)])

    shell.in_store(note, folder)
    return moment


def grace_use(shell: Shell, key: dict[str, Any], folder: str) -> GraceUse:
    """Return who uses a rotated key, by one of the stores."""
    work: Callable[[KeyStore], Any] = lambda store: store.grace_use(key["key_id"])  # noqa: E731 - one call
    found: GraceUse = shell.in_store(work, folder)
    return found


def test_every_key_goes_on_working(shell: Shell) -> None:
    """In whatever state it is; the pepper has to come along, and that is said."""
    keys = [shell.create(f"user-{number}", "--limit", "9/second") for number in range(4)]
    shell.run("keys", "disable", keys[1]["key_id"])
    shell.run("keys", "revoke", keys[2]["key_id"], "--yes")
    new = shell.run("keys", "rotate", keys[3]["key_id"], "--json").json
    done = migrate(shell, "--yes")
    assert done.code == 0
    first, usage, second, peppers, left_behind = done.out.splitlines()
    assert usage == "Counts of usage added: 0."
    assert first == (
        "Added: 5. Brought up to date: 0. There already: 0. Left as they are, because they differ: 0."
    )
    assert second == "Keys in the source: 5; in the target: 5; the same in both: 5."
    assert peppers.endswith(f"need the peppers of the source: {keys[0]['pepper_id']} (4 keys).")
    assert "audit log" in left_behind
    assert done.err == ""
    shutil.copy(shell.folder / "data" / "pepper", shell.folder / "new" / "pepper")
    texts = [key["key"] for key in (*keys, new)]
    assert shell.ask(*texts, folder="new") == [200, 401, 401, 200, 200]
    assert shell.ask(*texts) == [200, 401, 401, 200, 200]


def test_records_are_the_same_to_the_last_field(shell: Shell) -> None:
    """And the way back is the same way."""
    key = shell.create("ada", "--scope", "a:b", "--metadata", '{"n": [1, {"x": null}]}', "--expires", "9d")
    used = use(shell, key, "data")
    assert counts(report(shell)) == (1, 0, 0, 0)
    (copy,) = records(shell, "new").values()
    (original,) = records(shell, "data").values()
    for name in RECORD_FIELDS:
        assert getattr(copy, name) == getattr(original, name), name
    assert copy.last_used == used
    (shell.folder / "data" / "extauth.db").unlink()
    done = shell.run("migrate", "--from", TARGET, "--yes", "--json").json
    assert (done["added"], done["complete"]) == (1, True)
    assert records(shell, "data").keys() == {key["key_id"]}


def test_each_copied_record_has_its_audit_entry(shell: Shell) -> None:
    """By whom and from where, without a hash; the source's own entries stay behind."""
    shell.create()
    report(shell)

    async def read(store: KeyStore) -> tuple[AuditEntry, ...]:
        return (await store.audit()).entries

    (copied,) = shell.in_store(read, "new")
    assert copied.action == "key.migrated"
    assert copied.actor.startswith("cli:")
    assert copied.after["name"] == "a key"
    assert "hashed_key" not in copied.after


def test_an_interrupted_migration_goes_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run again, it passes over what is there; nobody is asked, since nothing differs."""
    made = [shell.create(f"user-{number}") for number in range(12)]
    add = SqliteKeyStore.add
    added = 0

    async def add_some(self: SqliteKeyStore, key: ApiKey, *arguments: Any, **options: Any) -> None:
        nonlocal added
        added += 1
        if added > 5:
            raise StoreError("the disk is full")
        await add(self, key, *arguments, **options)

    monkeypatch.setattr(SqliteKeyStore, "add", add_some)
    done = migrate(shell, "--yes")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("extauth: the disk is full\n")
    monkeypatch.setattr(SqliteKeyStore, "add", add)
    assert len(records(shell, "new")) == 5
    done = migrate(shell, "--json").json
    assert counts(done) == (7, 0, 5, 0)
    assert (done["source_keys"], done["target_keys"], done["equal_keys"], done["complete"]) == (
        12,
        12,
        12,
        True,
    )
    assert counts(report(shell)) == (0, 0, 12, 0)
    assert records(shell, "new").keys() == {key["key_id"] for key in made}


def test_an_interrupted_update_goes_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is several versions behind is brought up to date through all of them."""
    key = shell.create()
    report(shell)
    for number in range(4):
        change(shell, key, "data", name=f"name {number}")
    save = SqliteKeyStore.save
    saved = 0

    async def save_some(self: SqliteKeyStore, *arguments: Any) -> None:
        nonlocal saved
        saved += 1
        if saved > 2:
            raise StoreError("the disk is full")
        await save(self, *arguments)

    monkeypatch.setattr(SqliteKeyStore, "save", save_some)
    assert migrate(shell, "--yes").code == 1
    monkeypatch.setattr(SqliteKeyStore, "save", save)
    assert counts(report(shell)) == (0, 1, 0, 0)
    copy = records(shell, "new")[key["key_id"]]
    assert (copy.name, copy.version) == ("name 3", 5)


def test_a_second_run_brings_what_changed_meanwhile(shell: Shell) -> None:
    """A revocation, a rotation with its new key, and a key that was made since."""
    revoked, rotated, _ = (shell.create(user) for user in ("ada", "bob", "cy"))
    report(shell)
    shell.run("keys", "revoke", revoked["key_id"], "--yes", "--reason", "gone")
    shell.run("keys", "rotate", rotated["key_id"])
    shell.create("dan")
    found = report(shell)
    assert (counts(found), found["complete"]) == ((2, 2, 1, 0), True)
    copies = records(shell, "new")
    assert copies[revoked["key_id"]].revoked_reason == "gone"
    assert copies[rotated["key_id"]].rotated_to is not None


def test_the_targets_own_changes_are_never_overwritten(shell: Shell) -> None:
    """Told with what differs: exit code 1. A revocation there must not be undone by a newer name here."""
    revoked, newer, both = (shell.create(user) for user in ("ada", "bob", "cy"))
    report(shell)
    change(shell, revoked, "new", active=False, revoked_at=datetime.now(UTC))
    change(shell, revoked, "data", name="other")
    change(shell, revoked, "data", name="yet another")
    change(shell, newer, "new", tier="free")
    change(shell, both, "new", name="there")
    change(shell, both, "data", name="here")
    done = migrate(shell, "--yes")
    assert done.code == 1
    told = {line.split()[1]: line for line in done.err.splitlines() if line.startswith("key ")}
    assert "active, revoked_at" in told[revoked["key_id"]]
    assert told[revoked["key_id"]].endswith("it was changed in the target too; left as it is in the target")
    assert told[newer["key_id"]].endswith(
        "differs in tier: it is newer in the target; left as it is in the target"
    )
    assert "differs in name: it was changed on both sides" in told[both["key_id"]]
    assert done.err.endswith(
        "extauth: the stores differ: 3 records in the target can't be brought up to date\n"
    )
    assert records(shell, "new")[revoked["key_id"]].revoked_at is not None
    found = report(shell)
    assert sorted(one["key_id"] for one in found["differing"]) == sorted(told)


def test_a_target_that_began_as_a_copy_of_the_file_is_caught_up(shell: Shell) -> None:
    """Its last entry about a key is the source's own, so nobody changed the key there."""
    plain, rotated = shell.create("ada"), shell.create("bob")
    new = shell.run("keys", "rotate", rotated["key_id"], "--json").json
    shutil.copytree(shell.folder / "data", shell.folder / "new")
    for key in (plain, rotated, new):
        change(shell, key, "data", name="other")
    found = report(shell)
    assert (counts(found), found["complete"]) == ((0, 3, 0, 0), True)


def test_the_way_back_brings_what_changed_on_the_other_side(shell: Shell) -> None:
    """The record there is the one that was moved from here, so nobody's change is overwritten."""
    key, other = shell.create("ada"), shell.create("bob")
    shell.run("keys", "update", key["key_id"], "--name", "first")
    report(shell)
    change(shell, key, "new", name="second")
    change(shell, other, "new", name="there")
    change(shell, other, "data", name="here")
    change(shell, other, "new", name="there again")
    done = shell.run("migrate", "--from", TARGET, "--yes", "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert counts(told) == (0, 1, 0, 1)
    assert [one["key_id"] for one in told["differing"]] == [other["key_id"]]
    names = {key_id: record.name for key_id, record in records(shell, "data").items()}
    assert names == {key["key_id"]: "second", other["key_id"]: "here"}


def test_uses_and_calls_in_a_grace_come_along(shell: Shell) -> None:
    """Or the target would call it safe to end a grace; a second run adds nothing twice."""
    old = shell.create()
    shell.run("keys", "rotate", old["key_id"])
    use(shell, old, "data", calls=3)
    for _ in range(2):
        report(shell)
        assert grace_use(shell, old, "new") == GraceUse(3, {"192.0.2.7": 3})
    used = use(shell, old, "data", calls=2)
    assert counts(report(shell)) == (0, 0, 2, 0)
    assert grace_use(shell, old, "new").calls == 5
    assert records(shell, "new")[old["key_id"]].last_used == used
    later = use(shell, old, "new")
    report(shell)
    assert records(shell, "new")[old["key_id"]].last_used == later


def test_what_limits_in_shadow_would_have_refused_comes_along(shell: Shell) -> None:
    """By day, limit, key and route; a second run adds nothing twice, and brings what has come since."""
    shell.create()
    today = datetime.now(UTC).date()
    counts_of = [
        ShadowedCount(day=today - timedelta(days=day), place=Place(limit, "k", "r"), requests=day + 1)
        for day in (0, 1, 29)
        for limit in ("per-second", "quota")
    ]

    def stored(folder: str) -> list[ShadowedCount]:
        async def read(store: KeyStore) -> list[ShadowedCount]:
            return [*(await store.shadowed(oldest_kept(today), today))]

        return sorted(shell.in_store(read, folder), key=lambda count: (count.day, count.place))

    def note(folder: str) -> None:
        async def add(store: KeyStore) -> None:
            await store.note_shadowed(counts_of)

        shell.in_store(add, folder)

    note("data")
    report(shell)
    report(shell)
    assert stored("new") == stored("data")
    assert len(stored("new")) == len(counts_of)
    note("data")
    report(shell)
    assert stored("new") == stored("data")


def test_a_dry_run_writes_nothing(shell: Shell) -> None:
    """Not even the target's file; it counts what would be done."""
    key, _ = shell.create("ada"), shell.create("bob")
    done = migrate(shell, "--dry-run")
    assert done.code == 0
    assert done.out.startswith("To be added: 2. To be brought up to date: 0.")
    assert not (shell.folder / "new").exists()
    report(shell)
    change(shell, key, "data", name="other")
    shell.create("cy")
    before = records(shell, "new")
    found = migrate(shell, "--dry-run", "--json").json
    assert (counts(found), found["equal_keys"], found["complete"]) == ((1, 1, 1, 0), None, None)
    assert {one.key_id: one.version for one in records(shell, "new").values()} == {
        one.key_id: one.version for one in before.values()
    }


def test_a_target_with_other_keys_is_asked_about(shell: Shell) -> None:
    """It may be the wrong one. What it has more than the source makes them differ: exit code 1."""
    shell.create("ada")
    shell.run("migrate", "--to", "sqlite:///other/extauth.db", "--yes")
    shell.create("bob")
    (shell.folder / "data").rename(shell.folder / "new")
    (shell.folder / "other").rename(shell.folder / "data")
    (shell.folder / "data" / "pepper").write_bytes((shell.folder / "new" / "pepper").read_bytes())
    (shell.folder / "data" / "pepper").chmod(0o600)
    shell.create("cy")
    for options in ({"answer": "n\n"}, {}):
        done = migrate(shell, **options)
        assert (done.code, done.out) == (1, "")
        assert "The target holds 2 keys already. Not in the source: 1." in done.err
        assert len(records(shell, "new")) == 2
    done = migrate(shell, answer="y\n")
    assert done.code == 1
    assert done.err.endswith("extauth: the stores differ: 1 key in the target only\n")
    assert len(records(shell, "new")) == 3


def test_a_file_that_is_not_there_is_made_only_if_it_is_meant(shell: Shell) -> None:
    """A slip in its path would leave the keys where no server looks for them."""
    shell.create("ada")
    for options in ({"answer": "n\n"}, {}):
        done = migrate(shell, **options)
        assert (done.code, done.out) == (1, "")
        assert "There is no store new/extauth.db yet. Make it?" in done.err
        assert not (shell.folder / "new").exists()
    assert migrate(shell, answer="y\n").code == 0
    assert len(records(shell, "new")) == 1


def test_a_change_during_the_copy_is_found_at_the_end(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores are compared once more, and whoever asked is told to run it again."""
    key = shell.create()
    add = SqliteKeyStore.add

    async def change_and_add(self: SqliteKeyStore, record: ApiKey, *arguments: Any, **options: Any) -> None:
        await add(self, record, *arguments, **options)
        source = SqliteKeyStore(shell.folder / "data" / "extauth.db")
        await source.open()
        await source.save(replace(record, version=2, name="other"), entry(key["key_id"]))
        await source.close()

    monkeypatch.setattr(SqliteKeyStore, "add", change_and_add)
    done = migrate(shell, "--yes")
    assert done.code == 1
    assert done.err.endswith(
        "extauth: the stores differ: keys were changed in the source meanwhile; run this again\n"
    )
    assert counts(report(shell)) == (0, 1, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--from and --to are the same store"),
        (["--from", SOURCE], "--from and --to are the same store"),
        (["--to", "sqlite:///data/../data/extauth.db"], "--from and --to are the same store"),
        (["--to", "nonsense"], "must be a URL such as"),
        (["--from", "sqlite:///nosuch/file.db"], "there is no file nosuch/file.db"),
    ],
)
def test_wrong_usage_has_exit_code_2(shell: Shell, options: list[str], message: str) -> None:
    """A source that isn't there is no empty one, and nothing is made of a misspelt name."""
    shell.create()
    done = shell.run("migrate", *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert sorted(path.name for path in shell.folder.iterdir()) == ["data", "extauth.yaml"]


def test_no_password_of_a_store_is_repeated(shell: Shell) -> None:
    """Neither in messages about a URL that can't be used."""
    done = shell.run("migrate", "--to", "nosuchstore://user:hunter2hunter2@host/0")
    assert (done.code, done.out) == (2, "")
    assert "hunter2" not in done.err
