"""Log lines of nginx, HAProxy and Caddy, and the lines of `POST /done`, as signals."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

from extauth.clock import MICROSECONDS
from extauth.completion.signals import LONGEST_ID, LONGEST_LEASE, Reading, Signal, Unread

_VALUE = re.compile(rb"([!-~]{0,%d})(?:[ \t\r\n\0]|\Z)" % LONGEST_LEASE)
_ID = re.compile(rf"[!-~]{{1,{LONGEST_ID}}}")
_LEASE = re.compile(rf"[!-~]{{1,{LONGEST_LEASE}}}")
_STATUS = re.compile("[1-5][0-9]{2}")
# What an upstream takes is less than a year; more digits would be no number of a proxy.
_DURATION = re.compile("([0-9]{1,14})(?:[.]([0-9]{1,9}))?")
# The line of nginx as it is shipped, behind what syslog has before it (RFC 3164), where no field can be.
_USUAL = re.compile(
    rb"(?:<[0-9]{1,3}>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9A-Za-z_]{1,32}: )?"
    rb"rid=([!-~]{1,%d}) lease=([!-~]{1,%d}) status=([1-5][0-9]{2}) seconds=([0-9]{1,14}[.][0-9]{1,9})"
    % (LONGEST_ID, LONGEST_LEASE)
).fullmatch


def status_of(text: str | None) -> int:
    """Return a status, 0 where it is none."""
    return int(text) if text and _STATUS.fullmatch(text) else 0


def duration_of(text: str | None, unit_us: int) -> int:
    """Return a duration in microseconds, whose text counts units of so many; 0 where it is none."""
    found = _DURATION.fullmatch(text or "")
    return 0 if found is None else round(float(found[0]) * unit_us)


def signal(
    request_id: object, lease: object, *, progress: bool = False, status: int = 0, duration_us: int = 0
) -> Reading:
    """Return the signal of these values, where `-` means none. Both are visible ASCII: see `signals`."""
    if lease is None or lease in {"", "-"}:
        lease = ""
    elif not isinstance(lease, str) or not _LEASE.fullmatch(lease):
        return Unread.UNREADABLE
    if not isinstance(request_id, str) or request_id == "-" or not _ID.fullmatch(request_id):
        return Unread.UNREADABLE
    return Signal(request_id, lease, progress, status, duration_us if status else 0)


def read_line(line: bytes) -> Reading:
    """Read a line that has `rid=…`, and perhaps `lease=…`, `status=…` and `seconds=…`.

    Text without `rid=` is ignored.
    """
    usual = _USUAL(line)
    if usual is None:
        return read_fields(line)
    request_id, lease, status, seconds = usual.groups()
    if request_id == b"-":
        return Unread.UNREADABLE
    told = "" if lease == b"-" else lease.decode("ascii")
    duration_us = round(float(seconds) * MICROSECONDS)
    # Once a signal: the named tuple's own constructor takes twice as long.
    return tuple.__new__(Signal, (request_id.decode("ascii"), told, False, int(status), duration_us))


def read_fields(line: bytes) -> Reading:
    """Read any such line: its fields may stand anywhere, and others between them."""
    line = b" " + line
    request_id = _field(line, b" rid=")
    if request_id is None:
        return Unread.IGNORED if line.isascii() and line.strip(b" \r\n\0") else Unread.UNREADABLE
    status = status_of(_field(line, b" status="))
    # That of most lines is looked for no further.
    duration_us = duration_of(_field(line, b" seconds="), MICROSECONDS) if status else 0
    return signal(request_id, _field(line, b" lease="), status=status, duration_us=duration_us)


def _field(line: bytes, name: bytes) -> str | None:
    place = line.find(name)
    if place < 0:
        return None
    found = _VALUE.match(line, place + len(name))
    # A blank is no id, so that what can't be read stays different from what is missing.
    return found[1].decode("ascii") if found else " "


def read_json(text: bytes) -> Reading:
    """Read an entry of Caddy's access log: `uuid`, `status`, `duration`, `lease` where it was appended."""
    try:
        entry = orjson.loads(text.rstrip(b"\0"))
    except orjson.JSONDecodeError:
        return Unread.UNREADABLE
    if not isinstance(entry, dict):
        return Unread.UNREADABLE
    status = status_of(str(entry.get("status")))
    duration_us = duration_of(str(entry.get("duration")), MICROSECONDS) if status else 0
    return signal(entry.get("uuid"), entry.get("lease"), status=status, duration_us=duration_us)


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
