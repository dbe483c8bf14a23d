"""The files of an embedded store: what they are called, beside that of the keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# A database, and what SQLite keeps beside it: its log, what readers of that share, and its older journal.
_ENDS = ("", "-wal", "-shm", "-journal")


def beside(path: Path, what: str) -> Path:
    """Return the file for something else than keys, such as `limits` or `usage`."""
    return path.with_name(f"{path.stem}-{what}{path.suffix}")


def lock_of(archive: Path) -> Path:
    """Return the file that the one server holds that counts in an archive of limits."""
    return archive.with_suffix(".lock")


def own_files(path: Path) -> Iterator[Path]:
    """Yield all files that a store makes, whether they are there or not."""
    limits = beside(path, "limits")
    for database in (path, limits, beside(path, "usage")):
        yield from (database.with_name(database.name + end) for end in _ENDS)
    yield lock_of(limits)
