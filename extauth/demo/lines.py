"""How one line of extauth's log looks on the terminal. It reads no file and prints nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from rich.text import Text

from extauth.demo.terminal import printable
from extauth.dialects.problems import PROBLEMS
from extauth.model import Code, Outcome

_COLOURS = {
    Outcome.ALLOWED: "green",
    Outcome.AMBIGUOUS: "blue",
    Outcome.UNAUTHENTICATED: "yellow",
    Outcome.FORBIDDEN: "magenta",
    Outcome.LIMITED: "cyan",
    Outcome.UNAVAILABLE: "bold red",
}
_STATUSES = {Code.ALLOWED.value: 200} | {code.value: kind.status for code, kind in PROBLEMS.items()}
_LONGEST_WARNING = 160
_SHOWN_LEVELS = frozenset({"warning", "error", "critical"})
# What follows the time, the code and its status: field, heading, width, style.
_COLUMNS = (
    ("dialect", "proxy", 5, "dim"),
    ("method", "method", 6, "bold"),
    ("path", "path", 20, ""),
    ("user_id", "user", 8, "bold"),
    ("key_id", "key id", 12, "dim"),
    ("client_ip", "client", 11, ""),
)
_TIME_WIDTH = len("12:34:56.789")
_CODE_WIDTH = max(map(len, Code))


def heading() -> Text:
    """Return the names of the columns."""
    names = ["time".ljust(_TIME_WIDTH), "code".ljust(len("200 ") + _CODE_WIDTH)]
    names += [title.ljust(width) for _, title, width, _ in _COLUMNS]
    return Text("  ".join([*names, "duration"]), style="dim")


def shown(line: bytes) -> Text | None:
    """Return how a log line is shown: decisions and warnings. None for what needn't be, or is no log line."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    if fields.get("event") == "decision":
        return _decision(fields)
    return _warning(fields) if fields.get("level") in _SHOWN_LEVELS else None


def _decision(fields: Mapping[str, Any]) -> Text:
    code = str(fields.get("code", ""))
    colour = _COLOURS.get(fields.get("outcome", ""), "")
    cells = [
        (_local_time(fields), "dim"),
        (f"{_STATUSES.get(code, '???')} {_clipped(code, _CODE_WIDTH)}", colour),
        *((_clipped(str(fields.get(name, "")), width), style) for name, _, width, style in _COLUMNS),
        (_duration(fields), ""),
    ]
    if "reason" in fields:
        cells.append((printable(str(fields["reason"])), "italic"))
    return Text("  ").join(Text(*cell) for cell in cells)


def _warning(fields: Mapping[str, Any]) -> Text:
    said = printable(f"extauth: {fields['level']}: {fields.get('event')}")
    return Text(f"{_local_time(fields)}  {said[:_LONGEST_WARNING]} (more in the log)", style="red")


def _local_time(fields: Mapping[str, Any]) -> str:
    """Return hours to milliseconds in this machine's time zone; the log is in UTC."""
    try:
        moment = datetime.fromisoformat(fields["timestamp"]).astimezone()
    except (KeyError, ValueError):
        return "?".ljust(_TIME_WIDTH)
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _duration(fields: Mapping[str, Any]) -> str:
    return f"{fields.get('duration_us', 0) / 1000:.2f} ms".rjust(8)


def _clipped(value: str, width: int) -> str:
    value = printable(value) or "-"
    return (value if len(value) <= width else f"{value[: width - 1]}…").ljust(width)
