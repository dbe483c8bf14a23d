"""Finds out who listens on a TCP port, from Linux's /proc. It reads no command lines: some hold secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LISTENING = "0A"  # TCP_LISTEN in the kernel's include/net/tcp_states.h
# Columns of /proc/net/tcp, as proc(5) lists them.
_LOCAL_ADDRESS, _STATE, _INODE = 1, 3, 9


class Listener(NamedTuple):
    """A process that listens somewhere."""

    name: str
    pid: int


def listener_on(port: int) -> Listener | None:
    """Return the process that listens on the port, the oldest where it shares its socket with others.

    None where nobody does, or where this user may not look into the process.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        if not sockets.isdisjoint(_open_files(pid)):
            return Listener(_name(pid), pid)
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, rows):
            if columns[_STATE] == _LISTENING and columns[_LOCAL_ADDRESS].endswith(wanted):
                yield columns[_INODE]


def _open_files(pid: int) -> Iterator[str]:
    try:
        descriptors = [*Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # another user's process, or one that has just ended
        return
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            yield str(descriptor.readlink())


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "a process"
