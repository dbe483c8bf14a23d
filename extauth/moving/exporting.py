"""Writes all records as lines of JSON, into a file that only its owner may read, or wherever it is told."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import orjson

from extauth.moving.lines import to_line
from extauth.moving.pages import ListsKeys, pages_of


async def export(keys: ListsKeys, write: Callable[[bytes], object], *, with_hashes: bool) -> int:
    """Write a line for each record, oldest first; return how many. Raises StoreError."""
    exported = 0
    async for page in pages_of(keys):
        for key in page:
            write(orjson.dumps(to_line(key, with_hash=with_hashes), option=orjson.OPT_APPEND_NEWLINE))
        exported += len(page)
    return exported


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only once it is whole; only its owner may read it. Raises OSError.

    Half an export would look like a whole one to whoever reads it back.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(None, "is there already and is no file", str(path))
    # Made with mode 0600, under a name that nobody else has.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
