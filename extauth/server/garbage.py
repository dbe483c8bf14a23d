"""Keeps Python's collector of garbage from holding up checks.

Nearly all that is let go of is gone at once, because nothing refers to it. The collector is there for what
refers to itself, and a full collection looks at every object that lives: ten thousand keys in memory, and no
check is answered for 0.2 s. So what has outlived the small collections is set aside, where it isn't looked
at. It is looked through again only if so much has been set aside that something must be wrong with it.
"""

from __future__ import annotations

import asyncio
import gc

from extauth.server.huge_pages import HugePages

# How often it is seen whether there is anything to set aside.
_EVERY_SECONDS = 1.0
# After as many middle collections Python would begin a full one.
_ENOUGH = 10
_NEVER = 1_000_000_000
# After so many looks what was set aside is counted, which takes milliseconds.
_COUNTED_EVERY = 600
# So many objects more than twice those that were found alive are too many.
_TOO_MANY = 200_000


class LongLived:
    """Sets aside what lives long. There is one in each process, and it changes how the collector is set."""

    def __init__(self) -> None:
        self._known = 0
        self._seen = 0
        self._pages = HugePages()
        self.full = 0  # full collections so far

    def begin(self) -> None:
        """Set aside what was made so far, which lives as long as the process, and begin no full one."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)
        gc.freeze()
        self._known = gc.get_freeze_count()

    async def run(self) -> None:
        """Set aside again and again until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            self.see()
            self._pages.see()

    def see(self) -> None:
        """Set aside what has lived for a while; collect all if that is too much by now."""
        self._seen += 1
        if gc.get_count()[2] >= _ENOUGH:
            # Not what is young: of that some may be garbage soon.
            gc.collect(1)
            gc.freeze()
        if self._seen % _COUNTED_EVERY == 0:
            self._look_through()

    def _look_through(self) -> None:
        if gc.get_freeze_count() > 2 * self._known + _TOO_MANY:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._known = gc.get_freeze_count()
            self.full += 1
