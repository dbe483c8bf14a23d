"""`extauth keys export` and `import`: keys to a file and back, and keys of other systems in."""

from __future__ import annotations

import hashlib
import json
import stat
from typing import Any

import pytest

from extauth.errors import ConflictError, OverloadedError, StoreError
from extauth.keys.hashing import SecretHasher
from extauth.keys.service import KeyService
from extauth.model import RECORD_FIELDS, ApiKey
from tests.shell import SHOWN, Done, Shell

FIELDS = list(RECORD_FIELDS)


def lines_of(text: str) -> list[dict[str, Any]]:
    """Read lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


def moved(**counts: int) -> str:
    """Return what a finished import says."""
    count = {"adopted": 0, "restored": 0, "known": 0, "left": 0, **counts}
    return (
        f"Took in keys of other systems: {count['adopted']}; exported records: {count['restored']}. "
        f"There already: {count['known']}. Left out: {count['left']}.\n"
    )


def foreign(number: int, **fields: Any) -> dict[str, Any]:
    """Return the line of a key that another system made."""
    line = {"key": f"other-system-key-{number:06d}", "user_id": f"user-{number}", "name": "old key"}
    return {**line, **fields}


def take_foreign(shell: Shell) -> None:
    """Let keys of other systems in."""
    shell.configure(keys={"imported": True})


def test_an_export_holds_all_records_and_no_hash(shell: Shell) -> None:
    """A line each, oldest first, on standard output; how many is told beside."""
    made = [shell.create(f"user-{number}") for number in range(3)]
    done = shell.run("keys", "export")
    assert (done.code, done.err) == (0, "Exported 3 keys.\n")
    exported = lines_of(done.out)
    assert [list(line) for line in exported] == [SHOWN] * 3
    assert [line["key_id"] for line in exported] == [key["key_id"] for key in made]
    assert "argon2" not in done.out


def test_an_export_with_hashes_warns_and_is_its_owners_only(shell: Shell) -> None:
    """The file is as sensitive as the store."""
    shell.create()
    (shell.folder / "keys.jsonl").write_text("an older export")
    done = shell.run("keys", "export", "--with-hashes", "--out", "keys.jsonl")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("Warning: ")
    assert "as sensitive as the store" in done.err
    file = shell.folder / "keys.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (line,) = lines_of(file.read_text())
    assert sorted(line) == sorted(FIELDS)
    assert line["hashed_key"].startswith("$argon2id$")


def test_an_export_that_fails_leaves_the_file_as_it_was(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an export would look like a whole one."""
    shell.create()
    (shell.folder / "keys.jsonl").write_text("an older export")

    async def fail(*_arguments: object, **_options: object) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(KeyService, "list", fail)
    done = shell.run("keys", "export", "--out", "keys.jsonl")
    assert done == Done(1, "", "extauth: gone\n")
    assert (shell.folder / "keys.jsonl").read_text() == "an older export"
    assert [path.name for path in shell.folder.iterdir() if path.name.startswith(".")] == []


def test_a_file_that_cannot_be_written_is_told(shell: Shell) -> None:
    """With its name."""
    shell.create()
    done = shell.run("keys", "export", "--out", "nosuchfolder/keys.jsonl")
    assert done == Done(1, "", "extauth: nosuchfolder/keys.jsonl: No such file or directory\n")


def every_kind_of_key(shell: Shell) -> list[dict[str, Any]]:
    """Make keys in all states, and return them with their texts: the ones that work first."""
    take_foreign(shell)
    plain = shell.create(
        "ada", "--scope", "a:b", "--limit", "9/second", "--metadata", "x=y", "--expires", "9d"
    )
    old = shell.create("bob")
    new = shell.run("keys", "rotate", old["key_id"], "--json").json
    imported = foreign(1)
    shell.run("keys", "import", shell.write("foreign.jsonl", imported))
    disabled, revoked = shell.create("cy"), shell.create("dan")
    shell.run("keys", "disable", disabled["key_id"])
    shell.run("keys", "revoke", revoked["key_id"], "--yes", "--reason", "gone")
    return [plain, old, new, imported, disabled, revoked]


def test_what_was_exported_can_be_read_back(shell: Shell) -> None:
    """Every record is as it was, to the microsecond, and every key does what it did."""
    keys = every_kind_of_key(shell)
    exported = shell.run("keys", "export", "--with-hashes").out
    (shell.folder / "keys.jsonl").write_text(exported)
    (shell.folder / "data").rename(shell.folder / "old")
    (shell.folder / "data").mkdir()
    (shell.folder / "old" / "pepper").rename(shell.folder / "data" / "pepper")
    assert shell.run("keys", "import", "keys.jsonl").out == moved(restored=6)
    assert shell.run("keys", "export", "--with-hashes").out == exported
    texts = [key["key"] for key in keys]
    statuses = shell.ask(*texts, keys={"imported": True}, tiers={"free": {"rates": ["10/second"]}})
    assert statuses == [200, 200, 200, 200, 401, 401]
    entries = shell.run("audit", "list", "--json").json["entries"]
    assert {entry["action"] for entry in entries} == {"key.restored"}


def test_reading_back_again_passes_over_what_is_there(shell: Shell) -> None:
    """What was changed since is left as it is, and told: exit code 1."""
    key, other = shell.create(), shell.create()
    shell.run("keys", "export", "--with-hashes", "--out", "keys.jsonl")
    done = shell.run("keys", "import", "keys.jsonl")
    assert done == Done(0, moved(known=2), "")
    shell.run("keys", "disable", other["key_id"])
    done = shell.run("keys", "import", "keys.jsonl")
    assert (done.code, done.out) == (1, moved(known=1, left=1))
    assert done.err == (
        f"line 2: key {other['key_id']} is in the store with another content, and is left as it is there\n"
    )
    assert shell.run("keys", "show", other["key_id"], "--json").json["active"] is False
    assert shell.run("keys", "show", key["key_id"], "--json").json["active"] is True


def test_an_export_without_hashes_cannot_be_read_back(shell: Shell) -> None:
    """That is told by what is missing."""
    shell.create()
    shell.run("keys", "export", "--out", "keys.jsonl")
    done = shell.run("keys", "import", "keys.jsonl")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == (
        "line 1: hashed_key: is missing: only an export made with hashes can be read back"
    )


SPOILT: list[tuple[dict[str, Any], str]] = [
    ({"user_id": "a\r\nX-Admin: 1"}, "user_id: the user id needs"),
    ({"key_id": "../x"}, "key_id: must have 12 letters and digits"),
    ({"rotated_to": "x"}, "rotated_to: must have 12 letters and digits"),
    ({"hashed_key": "$2b$12$abc"}, "hashed_key: must be an argon2id hash"),
    ({"hashed_key": 5}, "hashed_key: must be text"),
    ({"hint": "\x1b[2J"}, "hint: may have"),
    ({"tier": "x y"}, "tier: 'x y' must be"),
    ({"environment": "X"}, "environment: 'X' must be"),
    ({"scopes": "a:b"}, "scopes: must be a list of texts"),
    ({"scopes": ["a b"]}, "scopes: 'a b' is not a scope"),
    ({"created_at": "yesterday"}, "created_at: must be an RFC 3339 time"),
    ({"created_at": None}, "created_at: must be an RFC 3339 time"),
    ({"active": "yes"}, "active: must be true or false"),
    ({"version": 0}, "version: must be a whole number"),
    ({"version": 2**40}, "version: must be a whole number"),
    ({"limits": {"rates": ["often"]}}, "limits: 'often' is not a rate"),
    ({"metadata": []}, "metadata: must be an object"),
    ({"pepper_id": "x"}, "pepper_id: must have 8 hexadecimal digits"),
    ({"revoked_reason": "\n"}, "revoked_reason: a reason has"),
    ({"colour": "red"}, "colour: unknown field"),
]


@pytest.mark.parametrize(("changes", "message"), SPOILT)
def test_a_spoilt_record_is_refused(shell: Shell, changes: dict[str, Any], message: str) -> None:
    """Servers trust what is in the store, so nothing gets there that a server would never have written."""
    shell.create()
    (line,) = lines_of(shell.run("keys", "export", "--with-hashes").out)
    name = shell.write("keys.jsonl", {**line, "key_id": "AAAAbbbb0001", **changes})
    done = shell.run("keys", "import", name)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"line 1: {message}")
    assert "argon2" not in done.err.replace("argon2id hash", "")
    assert len(shell.run("keys", "list", "--json").json["keys"]) == 1


def test_all_mistakes_of_a_record_are_told_together(shell: Shell) -> None:
    """Of type and of value, in the order in which records have their fields."""
    shell.create()
    (line,) = lines_of(shell.run("keys", "export", "--with-hashes").out)
    spoilt = {"active": "yes", "tier": "x y", "key_id": "x", "odd": 1, "revoked_reason": "\n", "user_id": 5}
    done = shell.run("keys", "import", shell.write("keys.jsonl", {**line, **spoilt}))
    *told, _ = done.err.splitlines()
    assert [one.split(": ")[1] for one in told] == [
        "key_id", "user_id", "tier", "active", "revoked_reason", "odd",
    ]  # fmt: skip


def test_keys_of_other_systems_go_on_working(shell: Shell) -> None:
    """By their text or their SHA-256 alone, with what the line says about them."""
    take_foreign(shell)
    by_digest = foreign(2, tier="free", scopes=["a:b"], expires_at="2099-01-31T12:00:00Z", metadata={"n": 1})
    text = by_digest.pop("key")
    by_digest["sha256"] = hashlib.sha256(text.encode()).hexdigest().upper()
    name = shell.write("foreign.jsonl", "\ufeff" + json.dumps(foreign(1)), "", by_digest)
    done = shell.run("keys", "import", name)
    assert done == Done(0, moved(adopted=2), "")
    first, second = shell.run("keys", "list", "--json").json["keys"]
    assert (first["user_id"], first["tier"], first["imported"]) == ("user-1", "default", True)
    assert (second["tier"], second["scopes"], second["metadata"]) == ("free", ["a:b"], {"n": 1})
    assert second["expires_at"] == "2099-01-31T12:00:00Z"
    # Of the second nobody knows more than its digest.
    assert first["hint"] == f"imported_{first['key_id']}_…{foreign(1)['key'][-4:]}"
    assert second["hint"] == f"imported_{second['key_id']}_…"
    tiers = {"free": {"rates": ["10/second"]}}
    statuses = shell.ask(foreign(1)["key"], text, foreign(3)["key"], keys={"imported": True}, tiers=tiers)
    assert statuses == [200, 200, 401]


def test_keys_of_other_systems_are_refused_where_nobody_would_look_for_them(shell: Shell) -> None:
    """Told once, with what to do; nothing is written."""
    done = shell.run("keys", "import", shell.write("foreign.jsonl", foreign(1), foreign(2)))
    assert (done.code, done.out) == (1, "")
    told, end = done.err.splitlines()
    assert told.startswith("line 1: keys of other systems can't be taken in while keys.imported is off")
    assert end == "extauth: nothing was imported, because of mistakes on 1 line"
    assert shell.run("keys", "list", "--json").json["keys"] == []


def two_hundred(*, spoilt: bool) -> list[object]:
    """Return the lines of 200 keys; some of them with mistakes if they are to be spoilt."""
    lines: list[object] = [foreign(number) for number in range(1, 201)]
    if spoilt:
        lines[9] = foreign(10, tier="gold")
        lines[19] = "{no json"
        lines[29] = foreign(30, key="short")
        lines[39] = {"user_id": "x", "name": "y"}
        lines[49] = foreign(1)
        lines[59] = foreign(60, expires_at="soon", scopes="all", nonsense=1)
        lines[69] = "[]"
        lines[79] = {"sha256": "abc", "user_id": "x", "name": "y"}
        lines[89] = foreign(90, sha256="0" * 64)
        lines[99] = {"key": "other-system-key-000100"}
        lines[109] = foreign(110, user_id="other-system-key-000110")
        lines[119] = foreign(120, metadata={"was": "other-system-key-000120"})
    return lines


def test_all_mistakes_of_a_file_are_told_before_anything_is_written(shell: Shell) -> None:
    """Each with its line and field; no key is repeated."""
    take_foreign(shell)
    name = shell.write("foreign.jsonl", *two_hundred(spoilt=True))
    for options in ([], ["--dry-run"], ["--json"]):
        done = shell.run("keys", "import", name, *options)
        assert (done.code, done.out) == (1, "")
        *told, end = done.err.splitlines()
        assert [": ".join(line.split(": ")[:2]) for line in told] == [
            "line 10: tier",
            "line 20: is not JSON",
            "line 30: key",
            "line 40: holds neither an exported record nor a key ('key' or 'sha256')",
            "line 50: is the same key as that of line 1",
            "line 60: scopes",
            "line 60: expires_at",
            "line 60: nonsense",
            "line 70: is not an object such as {...}",
            "line 80: sha256",
            "line 90: key",
            "line 100: user_id",
            "line 100: name",
            "line 110: user_id",
            "line 120: metadata",
        ]
        assert end == "extauth: nothing was imported, because of mistakes on 12 lines"
        assert "other-system-key" not in done.err
    assert shell.run("keys", "list", "--json").json["keys"] == []
    assert shell.run("audit", "list", "--json").json["entries"] == []


# Changes of a line, and the fields that are told then.
TOGETHER: list[tuple[dict[str, Any], list[str]]] = [
    ({"metadata": 5, "tier": "gold", "name": 7, "odd": 1}, ["name", "tier", "metadata", "odd"]),
    ({"key": "short", "scopes": ["a b"], "limits": "x"}, ["key", "scopes", "limits"]),
    ({"key": 5, "expires_at": "2020-01-01T00:00:00Z", "odd": 1}, ["key", "expires_at", "odd"]),
    ({"sha256": "0" * 64, "user_id": "two words"}, ["key", "user_id"]),
    # Which scopes are allowed depends on the tier; when a key ends, on a time that nobody can read.
    ({"tier": 5, "scopes": ["a:b", "c d"]}, ["tier", "scopes"]),
    ({"tier": "small", "scopes": ["a:b"], "name": ""}, ["name", "scopes"]),
    ({"expires_at": "soon", "name": ""}, ["name", "expires_at"]),
    ({"expires_at": None, "user_id": 5}, ["user_id", "never"]),
]


@pytest.mark.parametrize(("changes", "fields"), TOGETHER)
def test_all_mistakes_of_a_line_are_told_together(
    shell: Shell, changes: dict[str, Any], fields: list[str]
) -> None:
    """Of type and of value, in the order of the fields; a rule that needs a wrong field is passed over."""
    shell.configure(
        keys={"imported": True, "default_lifetime": "1d", "longest_lifetime": "1d"},
        tiers={"default": {"rates": ["10/second"]}, "small": {"rates": ["1/second"], "scopes": ["x:*"]}},
    )
    done = shell.run("keys", "import", shell.write("foreign.jsonl", foreign(1, **changes)))
    *told, _ = done.err.splitlines()
    assert [line.split(": ")[1] for line in told] == fields


def test_a_line_names_the_key_in_no_mistake(shell: Shell) -> None:
    """Not where it stands in other fields, nor as messages write it, nor where a name belongs."""
    take_foreign(shell)
    for text in ("other-system-key-000001", "a\\key'with\"odd-signs", "too\\short"):
        line = {"user_id": text, "name": 5, "tier": text, "scopes": [text, f"{text} x"], text: [text]}
        for name in ("key", "sha256"):
            done = shell.run("keys", "import", shell.write("foreign.jsonl", {name: text, **line}))
            assert done.code == 1
            for written in (text, repr(text)[1:-1], json.dumps(text)[1:-1]):
                assert written not in done.err
        kept = {"key": text, "user_id": "ada", "name": "x", "metadata": {"was": text}}
        done = shell.run("keys", "import", shell.write("foreign.jsonl", kept))
        assert "metadata: holds the key itself" in done.err


def test_a_line_that_nobody_would_look_for_is_told_beside_its_mistakes(shell: Shell) -> None:
    """Though nothing of the line is any good."""
    done = shell.run("keys", "import", shell.write("foreign.jsonl", foreign(1, name=5)))
    told = [line.split(": ")[1] for line in done.err.splitlines()[:-1]]
    assert told[0].startswith("keys of other systems can't be taken in while keys.imported is off")
    assert told[1:] == ["name"]


def test_two_hundred_keys_are_taken_in_once(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted half way and run again, without ever asking more of argon2 than there is room for."""
    take_foreign(shell)
    # The least room that settings allow.
    shell.configure(keys={"imported": True, "hashing": {"memory_kib": 8192, "time_cost": 1, "queue": 1}})
    name = shell.write("foreign.jsonl", *two_hundred(spoilt=False))
    planned = shell.run("keys", "import", name, "--dry-run").out
    assert planned == moved(adopted=200).replace("Took in", "Would take in")
    assert shell.run("keys", "list", "--json").json["keys"] == []
    adopt = KeyService.adopt
    taken = 0

    async def adopt_some(self: KeyService, *arguments: Any) -> ApiKey:
        nonlocal taken
        taken += 1
        if taken > 80:
            raise StoreError("the disk is full")
        return await adopt(self, *arguments)

    monkeypatch.setattr(KeyService, "adopt", adopt_some)
    done = shell.run("keys", "import", name)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("extauth: the disk is full\n")
    monkeypatch.setattr(KeyService, "adopt", adopt)
    there = len(shell.run("keys", "list", "--all", "--json").json["keys"])
    assert there == 80
    assert shell.run("keys", "import", name).out == moved(adopted=200 - there, known=there)
    done = shell.run("keys", "import", name, "--json")
    assert done.json == {"adopted": 0, "restored": 0, "known": 200, "refused": [], "dry_run": False}
    stored = b"".join(path.read_bytes() for path in (shell.folder / "data").iterdir())
    assert b"other-system-key" not in stored
    assert shell.ask(foreign(7)["key"], foreign(200)["key"], keys={"imported": True}) == [200, 200]


def test_the_pool_is_never_asked_for_more_than_it_has(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, one place to wait: still nothing is refused."""
    hashing = {"memory_kib": 8192, "time_cost": 1, "workers": 1, "queue": 1}
    shell.configure(keys={"imported": True, "hashing": hashing})
    refusals: list[OverloadedError] = []
    run = SecretHasher._run

    async def watched(self: SecretHasher, work: Any) -> Any:
        try:
            return await run(self, work)
        except OverloadedError as error:
            refusals.append(error)
            raise

    monkeypatch.setattr(SecretHasher, "_run", watched)
    done = shell.run("keys", "import", shell.write("foreign.jsonl", *map(foreign, range(20))))
    assert (done.out, refusals) == (moved(adopted=20), [])


def test_a_key_that_was_taken_in_under_an_older_pepper_is_known(shell: Shell) -> None:
    """Its id came from that pepper; under the new one it would be taken in twice."""
    old, new = "an old pepper that is long enough 000", "a new pepper that is long enough 0000"
    name = shell.write("foreign.jsonl", foreign(1))
    shell.configure(keys={"imported": True, "peppers": [old]})
    assert shell.run("keys", "import", name).out == moved(adopted=1)
    shell.configure(keys={"imported": True, "peppers": [new, old]})
    assert shell.run("keys", "import", name).out == moved(known=1)


def test_a_user_may_not_get_more_keys_than_allowed(shell: Shell) -> None:
    """Found before anything is written, with what the user has already."""
    shell.configure(keys={"imported": True, "per_user": 2})
    shell.create("ada")
    lines = [foreign(number, user_id="ada") for number in (1, 2)]
    done = shell.run("keys", "import", shell.write("foreign.jsonl", *lines))
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("line 2: user_id: user ada would have more than 2 keys (keys.per_user)\n")
    assert len(shell.run("keys", "list", "--json").json["keys"]) == 1


def test_somebody_else_may_take_keys_in_meanwhile(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken in between the look and the write is known, no fault."""
    take_foreign(shell)

    async def taken(*_arguments: object) -> None:
        raise ConflictError("exists already")

    monkeypatch.setattr(KeyService, "adopt", taken)
    assert shell.run("keys", "import", shell.write("foreign.jsonl", foreign(1))).out == moved(known=1)


def test_an_end_may_be_left_out_or_be_none(shell: Shell) -> None:
    """Left out, keys.default_lifetime holds; null asks for none."""
    shell.configure(keys={"imported": True, "default_lifetime": "30d"})
    shell.run("keys", "import", shell.write("foreign.jsonl", foreign(1), foreign(2, expires_at=None)))
    first, second = shell.run("keys", "list", "--json").json["keys"]
    assert first["expires_at"] is not None
    assert second["expires_at"] is None


def test_standard_input_is_a_file_too(shell: Shell) -> None:
    """So that plain keys need never lie on a disk."""
    take_foreign(shell)
    assert shell.run("keys", "import", "-", given=json.dumps(foreign(1))).out == moved(adopted=1)


def test_restored_keys_that_cannot_work_here_are_told(shell: Shell) -> None:
    """For want of their pepper, of their tier, or because nobody looks for imported ones."""
    take_foreign(shell)
    shell.create("ada", "--tier", "free")
    shell.run("keys", "import", shell.write("foreign.jsonl", foreign(1)))
    shell.run("keys", "export", "--with-hashes", "--out", "keys.jsonl")
    (shell.folder / "data").rename(shell.folder / "old")
    (shell.folder / "extauth.yaml").write_text('store: {url: "sqlite:///data/extauth.db"}\n')
    done = shell.run("keys", "import", "keys.jsonl")
    assert done.code == 0
    pepper, tier, imported = [line for line in done.err.splitlines() if line.startswith("Warning: ")]
    assert "is not configured, so the keys that need it don't work: 2 of them" in pepper
    assert tier.endswith(": free")
    assert "keys.imported is off" in imported
