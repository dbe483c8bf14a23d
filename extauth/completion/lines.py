"""Log lines of nginx, HAProxy and Caddy, and the lines of `POST /done`, as signals."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

from extauth.completion.signals import LONGEST_ID, LONGEST_LEASE, Reading, Signal, Unread

_VALUE = re.compile(rb"([!-~]{0,%d})(?:[ \t\r\n\0]|\Z)" % LONGEST_LEASE)
_ID = re.compile(rf"[!-~]{{1,{LONGEST_ID}}}")
_LEASE = re.compile(rf"[!-~]{{1,{LONGEST_LEASE}}}")


def signal(request_id: object, lease: object, *, progress: bool = False) -> Reading:
    """Return the signal of these values, where `-` means none. Both are visible ASCII: see `signals`."""
    if lease is None or lease in {"", "-"}:
        lease = ""
    elif not isinstance(lease, str) or not _LEASE.fullmatch(lease):
        return Unread.UNREADABLE
    if not isinstance(request_id, str) or request_id == "-" or not _ID.fullmatch(request_id):
        return Unread.UNREADABLE
    return Signal(request_id, lease, progress)


def read_line(line: bytes) -> Reading:
    """Read a line that has `rid=…` and perhaps `lease=…`; text without `rid=` is ignored."""
    line = b" " + line
    request_id = _field(line, b" rid=")
    if request_id is None:
        return Unread.IGNORED if line.isascii() and line.strip(b" \r\n\0") else Unread.UNREADABLE
    return signal(request_id, _field(line, b" lease="))


def _field(line: bytes, name: bytes) -> str | None:
    place = line.find(name)
    if place < 0:
        return None
    found = _VALUE.match(line, place + len(name))
    # A blank is no id, so that what can't be read stays different from what is missing.
    return found[1].decode("ascii") if found else " "


def read_json(text: bytes) -> Reading:
    """Read an entry of Caddy's access log: `uuid`, and `lease` where it was appended."""
    try:
        entry = orjson.loads(text.rstrip(b"\0"))
    except orjson.JSONDecodeError:
        return Unread.UNREADABLE
    return signal(entry.get("uuid"), entry.get("lease")) if isinstance(entry, dict) else Unread.UNREADABLE


def read_done(body: bytes) -> Iterator[Reading]:
    """Read the body of `POST /done`: an id at the beginning of each line, or a line like those of logs."""
    if not body.strip():
        yield Unread.UNREADABLE
    for line in re.finditer(rb"[^\r\n]+", body):
        text = line[0]
        if text.startswith(b"rid="):
            yield read_line(text)
        else:
            found = _VALUE.match(text)
            yield signal(found[1].decode("ascii"), None) if found else Unread.UNREADABLE
