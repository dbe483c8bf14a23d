"""When the configuration is loaded again: on SIGHUP at once, and when its file holds something else.

The file is read again and again instead of being watched by its inode: editors replace it by another, and
Kubernetes turns a symbolic link around two folders above. It counts as changed once two looks find the same
new content, because whoever writes it in place leaves it empty for a moment, and nothing is a configuration
too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

# Two looks make about a second.
LOOK_EVERY_SECONDS = 0.5


class ConfigWatch:
    """Watches one file from its making on; without a file it waits to be asked."""

    def __init__(self, file: Path | None, *, every_seconds: float = LOOK_EVERY_SECONDS) -> None:
        self._file = file
        self._every_seconds = every_seconds
        self._asked = asyncio.Event()
        # Of what was loaded last.
        self._loaded = self._look()

    def ask(self) -> None:
        """Have it loaded now, whether or not it changed."""
        self._asked.set()

    async def run(self, reload: Callable[[], Awaitable[None]]) -> None:
        """Call this where it is time, one call after the other, until cancelled."""
        seen = self._loaded
        while True:
            asked = await self._wait()
            before, seen = seen, await asyncio.to_thread(self._look)
            if asked or (seen == before and seen != self._loaded):
                self._loaded = seen
                await reload()

    async def _wait(self) -> bool:
        try:
            async with asyncio.timeout(self._every_seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _look(self) -> bytes:
        """Return what tells one content from another, and from none that can be read. It holds no secret."""
        if self._file is None:
            return b""
        try:
            return hashlib.blake2b(self._file.read_bytes()).digest()
        except (OSError, ValueError) as error:
            return type(error).__name__.encode()
