"""The store, where it is a file of this machine: private, on a disk with room, in one server's hands."""

from __future__ import annotations

import stat
from collections.abc import Sequence

from extauth.doctor.findings import Finding, Notes
from extauth.stores.facts import FileFacts

_MEBIBYTE = 1024 * 1024
# Below the first a day's writes may not fit any more, below the second an import may not.
_NO_ROOM_BYTES = 64 * _MEBIBYTE
_LITTLE_ROOM_BYTES = 1024 * _MEBIBYTE
# SQLite begins its log anew at 4 MiB or so, unless somebody goes on reading an old state of it.
_LONG_LOG_BYTES = 256 * _MEBIBYTE


def file_findings(facts: FileFacts) -> Sequence[Finding]:
    """Judge the files of an embedded store."""
    notes = Notes("store")
    if facts.is_there:
        _file(notes, facts)
    else:
        notes.warn(f"{facts.path} is not there.", "Start a server or make a key: both make it.")
    _modes(notes, facts)
    _room(notes, facts)
    return notes.findings


def _file(notes: Notes, facts: FileFacts) -> None:
    if facts.peppers is None:
        notes.warn(f"{facts.path} is of another version.", "Start this version on it once, or a newer one.")
    else:
        number = sum(facts.peppers.values())
        notes.ok(f"{facts.path} can be read. Keys in it that are not revoked: {number}.")
    if facts.journal != "wal":
        notes.bad(
            f"{facts.path} has the journal mode {facts.journal}: readers and writers wait for each other.",
            "Start a server on it, which sets wal; where that fails, its file system can't do it.",
        )
    elif facts.log_bytes > _LONG_LOG_BYTES:
        notes.warn(
            f"The log of {facts.path} has {facts.log_bytes // _MEBIBYTE} MiB.",
            "Find the program that has it open for reading all the time, such as a backup that hangs.",
        )
    if facts.holder is None:
        notes.ok("No server has it open.")
    else:
        notes.ok(f"One server has it open{f', process {facts.holder}' if facts.holder else ''}.")


def _modes(notes: Notes, facts: FileFacts) -> None:
    forbidden = stat.S_IRWXG | stat.S_IRWXO
    open_files = [path for path, mode in facts.modes.items() if mode & forbidden]
    for path in open_files:
        notes.bad(f"{path} can be read or written by others than its owner.", f"chmod 600 {path}")
    if facts.folder_mode & stat.S_IWOTH and not facts.folder_mode & stat.S_ISVTX:
        folder = facts.path.parent
        notes.bad(f"Anybody may replace files in {folder}.", f"chmod o-w {folder}")
    if facts.modes and not open_files:
        notes.ok("Its files are its owner's alone.")


def _room(notes: Notes, facts: FileFacts) -> None:
    said = f"Its disk has {facts.free_bytes // _MEBIBYTE} MiB free."
    if facts.free_bytes < _NO_ROOM_BYTES:
        notes.bad(said, "Make room: once it is full, keys can't be changed and limits are not kept.")
    elif facts.free_bytes < _LITTLE_ROOM_BYTES:
        notes.warn(said, "Make room before it is full.")
    else:
        notes.ok(said)
