"""The demo's directory: marked as its own, held by one demo at a time, cleared of the last store."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from extauth.demo.errors import DemoError

_MARK = "written-by-extauth-demo"
_STORE = "store"
# What the embedded store and its peppers leave behind. Whatever else lies there is somebody else's.
_STORE_FILES = ("extauth.db*", "extauth-limits.db*", "pepper")


@contextlib.contextmanager
def demo_directory(path: Path) -> Iterator[Path]:
    """Hold a directory for one demo, and give its absolute path.

    Raises:
        DemoError: It holds files that no demo wrote, another demo uses it, or this user may not write there.
    """
    directory = path.absolute()
    with _faults_explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        mark = directory / _MARK
        if not mark.exists() and any(directory.iterdir()):
            raise DemoError(f"{directory} holds files that are not of a demo; name another with --directory")
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, directory)
        with _faults_explained(directory):
            _clear(directory / _STORE)
        yield directory
    finally:
        os.close(descriptor)


def store_file(directory: Path) -> Path:
    """Return where the demo's keys are kept."""
    return directory / _STORE / "extauth.db"


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        message = f"another demo uses {directory}; stop it, or name another with --directory"
        raise DemoError(message) from error


def _clear(store: Path) -> None:
    store.mkdir(mode=0o700, exist_ok=True)
    for pattern in _STORE_FILES:
        for file in store.glob(pattern):
            file.unlink()


@contextlib.contextmanager
def _faults_explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DemoError(
            f"can't use {directory}: {error.strerror} ({error.filename}); name another with --directory"
        ) from error
