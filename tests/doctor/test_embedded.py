"""The doctor and the embedded store, with the pepper beside it: each well and each not."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from extauth.doctor.durability import file_durability_findings
from extauth.doctor.embedded import file_findings
from extauth.doctor.findings import Level, Notes, examine
from extauth.settings.model import Settings
from extauth.stores.facts import FileFacts
from extauth.stores.mounts import file_system_of
from extauth.stores.sqlite_look import look_at_files
from extauth.tasks import in_thread
from tests.doctor.finding import level_of, looked_over
from tests.world import open_world, settings_in

_MEBIBYTE = 1024 * 1024


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a store that holds a key."""

    async def fill() -> None:
        async with open_world(tmp_path / "data") as world:
            await world.create_key()

    (tmp_path / "data").mkdir(mode=0o700)
    asyncio.run(fill())
    return settings_in(tmp_path / "data")


def test_a_store_as_it_should_be_is_well(settings: Settings) -> None:
    """Private, in WAL mode, in nobody's hands; its key's pepper is there."""
    findings = [one for one in looked_over(settings) if one.examination in {"store", "pepper"}]
    assert [one for one in findings if one.level is Level.BAD] == []
    assert level_of(findings, "store", "not revoked: 1") is Level.OK
    assert level_of(findings, "store", "No server has it open") is Level.OK
    assert level_of(findings, "store", "its owner's alone") is Level.OK
    assert level_of(findings, "pepper", "not revoked (1)") is Level.OK


def test_looking_makes_nothing(tmp_path: Path) -> None:
    """No file, no folder, no pepper: they would belong to whoever looked."""
    settings = settings_in(tmp_path / "data")
    findings = looked_over(settings)
    assert level_of(findings, "store", "is not there") is Level.WARN
    assert level_of(findings, "pepper", "the first start makes one") is Level.OK
    assert list(tmp_path.iterdir()) == []


def test_who_has_it_open(tmp_path: Path) -> None:
    """A running server is told by its process id, and not kept from anything."""

    async def look() -> FileFacts:
        async with open_world(tmp_path):
            return await in_thread(lambda: look_at_files(tmp_path / "extauth.db"))

    facts = asyncio.run(look())
    assert facts.holder is not None
    assert look_at_files(tmp_path / "extauth.db").holder is None


def test_files_that_others_may_read_are_bad(settings: Settings) -> None:
    """Each by its name, with the command that mends it."""
    settings.store.path.chmod(0o644)
    assert level_of(looked_over(settings), "store", "by others than its owner") is Level.BAD


@pytest.mark.parametrize("name", ["extauth.yaml", "extauth.log", "extauth-checks.sock", "extauth.db.md5"])
def test_files_of_others_beside_it_are_not_its_own(settings: Settings, name: str) -> None:
    """A configuration without secrets, a log and a socket may lie there, and be open to others."""
    beside = settings.store.path.with_name(name)
    beside.touch()
    beside.chmod(0o644)
    assert level_of(looked_over(settings), "store", "its owner's alone") is Level.OK


@pytest.mark.parametrize("name", ["extauth-limits.db", "extauth-usage.db-wal", "extauth-limits.lock"])
def test_all_files_of_the_store_are_looked_at(settings: Settings, name: str) -> None:
    """Also those of limits and usage, and what SQLite keeps beside them."""
    beside = settings.store.path.with_name(name)
    beside.touch()
    beside.chmod(0o640)
    assert level_of(looked_over(settings), "store", f"{beside} can be read") is Level.BAD


def test_a_log_that_a_crash_left_behind_is_no_fault(settings: Settings) -> None:
    """The look itself, as the last one that closes, takes it away."""
    settings.store.path.with_name("extauth.db-wal").touch(mode=0o600)
    assert level_of(looked_over(settings), "store", "not revoked: 1") is Level.OK


def test_a_file_that_is_no_database_is_bad(settings: Settings) -> None:
    """As the store calls it."""
    settings.store.path.write_bytes(b"x" * 8192)
    assert level_of(looked_over(settings), "store", "no SQLite database") is Level.BAD


def test_another_journal_mode_is_bad(settings: Settings) -> None:
    """Readers and writers would wait for each other."""
    with sqlite3.connect(settings.store.path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    assert level_of(looked_over(settings), "store", "journal mode delete") is Level.BAD


@pytest.mark.parametrize(
    ("changed", "words", "level"),
    [
        ({"free_bytes": 10 * _MEBIBYTE}, "10 MiB free", Level.BAD),
        ({"free_bytes": 500 * _MEBIBYTE}, "500 MiB free", Level.WARN),
        ({"free_bytes": 5_000 * _MEBIBYTE}, "5000 MiB free", Level.OK),
        ({"log_bytes": 300 * _MEBIBYTE}, "300 MiB", Level.WARN),
        ({"folder_mode": 0o777}, "replace files", Level.BAD),
        ({"peppers": None}, "another version", Level.WARN),
        ({"holder": 4711}, "process 4711", Level.OK),
    ],
)
def test_what_is_judged_of_files(changed: dict[str, object], words: str, level: Level) -> None:
    """What no test can bring about safely: a full disk, a log that grew."""
    path = Path("/var/lib/extauth/extauth.db")
    facts = FileFacts(
        path=path,
        is_there=True,
        modes={path: 0o600},
        folder_mode=0o700,
        free_bytes=1 << 40,
        journal="wal",
        peppers={},
    )
    assert level_of(file_findings(replace(facts, **changed)), "store", words) is level  # type: ignore[arg-type]  # fields of FileFacts


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", Level.OK),
        ("", Level.OK),
        ("tmpfs", Level.WARN),
        ("overlay", Level.WARN),
        ("nfs4", Level.WARN),
        ("fuse.sshfs", Level.WARN),
    ],
)
def test_where_the_file_lies_decides_what_is_lost(kind: str, level: Level) -> None:
    """Whoever acknowledges a change in memory has kept nothing."""
    path = Path("/data/extauth.db")
    facts = FileFacts(path=path, is_there=True, modes={}, folder_mode=0o700, free_bytes=0, file_system=kind)
    (finding,) = file_durability_findings(facts)
    assert (finding.examination, finding.level) == ("durability", level)
    assert bool(finding.mend) is (level is not Level.OK)


def test_the_file_system_is_the_one_mounted_nearest(tmp_path: Path) -> None:
    """The last at a place, by whole names of folders, with what is written in octal."""
    mounts = tmp_path / "mountinfo"
    mounted = {"/": "ext4", "/srv": "tmpfs", "/srv/a\\040b": "nfs4", "/srv/data": "btrfs"}
    mounts.write_text(
        "1 1 0:1 / /srv rw - xfs source rw\n"
        + "".join(
            f"2 1 0:2 / {point} rw,relatime shared:1 - {kind} source rw\n" for point, kind in mounted.items()
        )
    )
    expected = {"/": "ext4", "/srv/x": "tmpfs", "/srv/a b/c": "nfs4", "/srv/database": "tmpfs"}
    assert {path: file_system_of(Path(path), mounts) for path in expected} == expected
    assert file_system_of(Path("/"), tmp_path / "none") == ""
    # The memory that every Linux has.
    assert file_system_of(Path("/dev/shm")) == "tmpfs"


def test_a_pepper_that_others_may_read_is_bad(settings: Settings) -> None:
    """The server wouldn't start with it."""
    (settings.store.path.parent / "pepper").chmod(0o644)
    assert level_of(looked_over(settings), "pepper", "others may read or write") is Level.BAD


def test_a_pepper_that_is_gone_is_bad(settings: Settings) -> None:
    """The key that needs it is there."""
    (settings.store.path.parent / "pepper").unlink()
    assert level_of(looked_over(settings), "pepper", "is missing") is Level.BAD


def test_keys_without_their_pepper_are_bad(settings: Settings) -> None:
    """Another one was put in its place."""
    (settings.store.path.parent / "pepper").write_text(
        "another pepper, which is long enough\n".replace(" ", "-")
    )
    assert level_of(looked_over(settings), "pepper", "is not given") is Level.BAD


def test_a_disk_that_hangs_keeps_nobody() -> None:
    """Neither the other examinations nor the end of the process, for the thread is nobody's to wait for."""
    never = threading.Event()

    async def hangs() -> list[object]:
        await in_thread(never.wait)
        raise AssertionError("the event is never set")

    async def works() -> list[object]:
        notes = Notes("other")
        notes.ok("Fine.")
        return [*notes.findings]

    findings = asyncio.run(examine({"disk": hangs, "other": works}, within_seconds=0.05))  # type: ignore[dict-item]  # lists of findings
    assert [(one.examination, one.level) for one in findings] == [("disk", Level.BAD), ("other", Level.OK)]
    (thread,) = [one for one in threading.enumerate() if one.name == "work"]
    assert thread.daemon
    never.set()
    thread.join()
