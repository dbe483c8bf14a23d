"""What is large and lives long is kept in huge pages, and nothing else is."""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path

import pytest

from extauth.server import huge_pages
from extauth.server.huge_pages import LARGE_BYTES, HugePages, large_regions

MAPS = """\
00400000-0041f000 r--p 00000000 fe:00 1234                               /usr/bin/python3.11
00a00000-02a00000 rw-p 00000000 fe:00 1234                               /usr/bin/python3.11
1abfe000-2c0f3000 rw-p 00000000 00:00 0                                  [heap]
7f8d117bc000-7f8d1af68000 rw-p 00000000 00:00 0
7f8d1b000000-7f8d1b800000 rw-p 00000000 00:00 0
7f8d1c000000-7f8d1d000000 rw-p 00000000 00:00 0
7f8d20000000-7f8d30000000 rw-s 00000000 00:01 77                         /dev/shm/with a name
7f8d30000000-7f8d40000000 ---p 00000000 00:00 0
7f8d40000000-7f8d50000000 r--p 00000000 00:00 0
7ffe00000000-7ffe10000000 rw-p 00000000 00:00 0                          [stack]
"""


def test_only_large_memory_of_the_process_itself_is_asked_for() -> None:
    """Neither files nor what is shared, no stack, and nothing that a huge page would waste."""
    assert list(large_regions(MAPS)) == [
        (0x1ABFE000, 0x2C0F3000 - 0x1ABFE000),
        (0x7F8D117BC000, 0x7F8D1AF68000 - 0x7F8D117BC000),
        (0x7F8D1C000000, LARGE_BYTES),
    ]


def _is_advised(address: int) -> bool:
    """Tell whether the kernel has taken down that the region of this address may have huge pages."""
    found = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if region := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            found = int(region[1], 16) <= address < int(region[2], 16)
        elif found and line.startswith("VmFlags:"):
            return "hg" in line.split()
    return False


def test_the_kernel_hears_of_it_when_much_memory_came() -> None:
    """The real one: of a region of four times what is large, and once only while nothing more comes."""
    pages = HugePages()
    pages.see()
    with mmap.mmap(-1, 4 * LARGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        # Nothing of it is in memory yet.
        assert pages.see() == 0
        assert not _is_advised(address)
        memory.write(b"x" * len(memory))
        has_any = Path("/sys/kernel/mm/transparent_hugepage").exists()
        assert pages.see() >= len(memory) or not has_any
        assert _is_advised(address) == has_any
        assert pages.see() == 0


def test_a_system_without_such_files_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault: checks cost what they cost."""
    monkeypatch.setattr(huge_pages, "_SIZES", tmp_path / "statm")
    assert HugePages().see() == 0
