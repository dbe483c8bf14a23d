"""The files that settings name, which must be there and be readable before anything starts."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from extauth.settings.model import Settings

NAMED = (
    ("keys", "peppers_file"),
    ("store", "password_file"),
    ("store", "sentinel_password_file"),
    ("store", "ca_file"),
    ("store", "certificate_file"),
    ("store", "private_key_file"),
    ("throttle", "token_file"),
)


class FileProblem(NamedTuple):
    """Why a file is of no use, and what to do about it."""

    said: str
    mend: str


def named_files(settings: Settings) -> Iterator[tuple[tuple[str, str], Path]]:
    """Yield each field that names a file, by section and name, with the file."""
    for section, name in NAMED:
        file: Path | None = getattr(getattr(settings, section), name)
        if file is not None:
            yield (section, name), file


def problem_of(file: Path) -> FileProblem | None:
    """Tell why this process can't read a file; None where it can."""
    shown = repr(str(file))
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except PermissionError:
        return _forbidden(f"{shown} is in a folder that can't be entered")
    except OSError:
        is_file = False
    if not is_file:
        return FileProblem(f"{shown} is no file", "put it there, or name the one that is meant")
    return None if os.access(file, os.R_OK) else _forbidden(f"{shown} can't be read")


def _forbidden(said: str) -> FileProblem:
    return FileProblem(said, "let the user who runs extauth read it")
