"""Looks at the files of an embedded store: changing nothing, and beside whatever server has them open."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Mapping
from pathlib import Path

from extauth.errors import StoreError
from extauth.stores.facts import FileFacts
from extauth.stores.mounts import file_system_of
from extauth.stores.sqlite_files import beside, lock_of, own_files
from extauth.stores.sqlite_rows import KEY_SCHEMA
from extauth.stores.sqlite_thread import told

_LOCKS = Path("/proc/locks")
# How long a look waits for another process's write, in seconds.
_PATIENCE_SECONDS = 1.0
PEPPERS = "SELECT pepper_id, count(*) FROM keys WHERE revoked_at IS NULL GROUP BY pepper_id"


def look_at_files(path: Path) -> FileFacts:
    """Say how the files are. It blocks, for as long as the disk does. Raises StoreError."""
    try:
        return _look(path)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: {told(error)}") from error


def _look(path: Path) -> FileFacts:
    folder = next(one for one in path.absolute().parents if one.exists())
    room = os.statvfs(folder)
    states = _states(path)
    journal, peppers = _inside(path) if path in states else ("", {})
    log = states.get(path.with_name(f"{path.name}-wal"))
    return FileFacts(
        path=path,
        is_there=path in states,
        modes={file: stat.S_IMODE(state.st_mode) for file, state in states.items()},
        folder_mode=stat.S_IMODE(folder.stat().st_mode) if folder == path.absolute().parent else 0,
        free_bytes=room.f_bavail * room.f_frsize,
        log_bytes=log.st_size if log else 0,
        journal=journal,
        peppers=peppers,
        holder=_holder(lock_of(beside(path, "limits"))),
        file_system=file_system_of(folder),
    )


def _states(path: Path) -> Mapping[Path, os.stat_result]:
    """Return the states of the store's own files.

    What else has such a name is none of its business: the configuration, a log or a socket, which often
    lie beside it, and which others may have to read.
    """
    states = {}
    for file in own_files(path):
        # SQLite takes its log away when the last one closes.
        with contextlib.suppress(FileNotFoundError):
            states[file] = file.stat()
    return states


def _inside(path: Path) -> tuple[str, Mapping[str, int] | None]:
    # A connection that may only read would leave a log behind, which it can't take away.
    address = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
        connection.execute("PRAGMA query_only = ON")
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != len(KEY_SCHEMA):
            return str(journal), None
        return str(journal), dict(connection.execute(PEPPERS).fetchall())


def _holder(lock: Path) -> int | None:
    """Return the process that has the lock. Trying to take it could keep a server from starting."""
    with contextlib.suppress(OSError):
        inode = str(lock.stat().st_ino)
        for line in _LOCKS.read_text(encoding="ascii").splitlines():
            # `1: FLOCK ADVISORY WRITE 4711 fe:01:262146 0 EOF`, as proc_locks(5) has it.
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
                return max(int(fields[4]), 0)
    return None
