"""Where peppers come from.

The settings, a file, or, for the embedded store, a file that the server makes for itself.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from extauth.errors import ConfigError
from extauth.keys.token import SHORTEST_PEPPER, Peppers
from extauth.settings.keys import NO_SHARED_PEPPER

PEPPER_FILE = "pepper"


def load_peppers(
    *, given: Sequence[str], file: Path | None, data_directory: Path | None, store_is_empty: bool
) -> Peppers:
    """Return the peppers in force: those given, those in the file, or the server's own.

    The server makes one for itself while no key exists yet; not where it has no data directory, because it
    shares its store with others, which would not know the pepper.

    Raises ConfigError where none is given then, where the file can't be used, or where it is gone although
    keys were made under it: a new pepper would silently make all of them invalid.
    """
    if given:
        return Peppers(given)
    if file is not None:
        # Secrets that an orchestrator mounts are often readable by a group of their own.
        named = f"keys.peppers_file: {file}"
        return Peppers(_read(file, named, forbidden=stat.S_IWGRP | stat.S_IRWXO))
    if data_directory is None:
        raise ConfigError([f"keys.peppers: {NO_SHARED_PEPPER}"])
    path = data_directory / PEPPER_FILE
    if not path.exists():
        if not store_is_empty:
            raise ConfigError(
                [
                    (
                        f"{path} is missing, and the keys in the store were made under it; "
                        "restore it, or set keys.peppers"
                    )
                ]
            )
        try:
            _create(path)
        except OSError as error:
            raise ConfigError([f"{path}: can't be made: {error.strerror}"]) from error
    return Peppers(_read(path, str(path), forbidden=stat.S_IRWXG | stat.S_IRWXO))


def _create(path: Path) -> None:
    """Make a pepper of 256 bits.

    Written beside and linked into place, so that no other process ever reads half of one.
    """
    # Readable by its owner only, under a name that nobody else has: a draft that a crash left behind is in
    # nobody's way.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # Another process was faster; its pepper is the one.
    finally:
        draft.unlink()


def _read(path: Path, named: str, *, forbidden: int) -> list[str]:
    try:
        if path.stat().st_mode & forbidden:
            raise ConfigError(
                [f"{named}: others may read or write this file; make it readable by its owner only"]
            )
        peppers = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{named}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"]) from error
    if not peppers:
        raise ConfigError([f"{named}: holds no pepper"])
    if any(len(pepper) < SHORTEST_PEPPER for pepper in peppers):
        raise ConfigError([f"{named}: a pepper needs at least {SHORTEST_PEPPER} characters"])
    if len(peppers) != len(set(peppers)):
        raise ConfigError([f"{named}: a pepper is listed twice"])
    return peppers
