"""Has the kernel keep what is large and lives long in huge pages.

With 100,000 keys in use each check reads memory that is in no cache. Where that memory is the processor
doesn't know by heart either: it looks it up in tables that are in no cache, in a virtual machine in those of
the host too. With pages of 2 MiB instead of 4 KiB there is less to look up.
"""

from __future__ import annotations

import ctypes
import mmap
import resource
from collections.abc import Iterator
from pathlib import Path

# What is in use of smaller regions is known by heart anyway. Stacks of threads have 8 MiB, of which a huge
# page would waste most.
LARGE_BYTES = 16 * 1024 * 1024
_MAPS = Path("/proc/self/maps")
# Counted in pages; the second number is how many are in memory (proc(5)).
_SIZES = Path("/proc/self/statm")


class HugePages:
    """Asks for them, and again when there is much more memory than there was then.

    The kernel puts them together by and by, in the background, unless it is set to have none
    (`transparent_hugepage`, see madvise(2), MADV_HUGEPAGE).
    """

    def __init__(self) -> None:
        self._known_bytes = 0

    def see(self) -> int:
        """Ask where that is due; return for how many bytes the kernel took it down."""
        try:
            used_bytes = int(_SIZES.read_text().split()[1]) * resource.getpagesize()
            if used_bytes < self._known_bytes + LARGE_BYTES:
                return 0
            self._known_bytes = used_bytes
            regions = [*large_regions(_MAPS.read_text())]
        except OSError:
            # A system without these files, on which a check costs what it costs.
            return 0
        return sum(size for begin, size in regions if _ask_for(begin, size))


def large_regions(maps: str) -> Iterator[tuple[int, int]]:
    """Return where large regions of this process's own memory begin, and how many bytes they have.

    `maps` is what `/proc/self/maps` says (proc(5)). Memory that is shared, or of a file, is not its own.
    """
    for line in maps.splitlines():
        where, rights, _, _, inode, *name = line.split()
        begin, end = (int(address, 16) for address in where.split("-"))
        is_own = rights == "rw-p" and inode == "0" and name in ([], ["[heap]"])
        if is_own and end - begin >= LARGE_BYTES:
            yield begin, end - begin


def _ask_for(begin: int, size: int) -> bool:
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return bool(advise(begin, size, mmap.MADV_HUGEPAGE) == 0)
