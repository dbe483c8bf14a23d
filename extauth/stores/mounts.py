"""On which kind of file system something lies, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Return its type, such as ext4; an empty text where nobody can tell.

    Of several at one place the last counts, which hides the others (proc_pid_mountinfo(5)).
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    found, kind = Path(), ""
    folder = folder.resolve()
    for line in lines:
        mount, _, rest = line.partition(" - ")
        # Spaces, tabs, line feeds and backslashes are written in octal.
        point = Path(mount.split(" ")[4].encode("latin-1", "replace").decode("unicode_escape"))
        if folder.is_relative_to(point) and len(point.parts) >= len(found.parts):
            found, kind = point, rest.partition(" ")[0]
    return kind
