"""The small languages of the settings: durations, rates, listening addresses, each with parser and text form.

Pure functions: they know no file, no environment and no settings model. Mistakes are ValueErrors.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from extauth.model import CALENDAR_MONTH
from extauth.settings.base import KIND

MILLISECOND = timedelta(milliseconds=1)
LONGEST_DURATION = timedelta(days=36_500)
# Nobody needs a larger limit, and a zero too many shows early.
LARGEST_COUNT = 1_000_000_000
# How long a limit may take to be as if nothing had been spent.
LONGEST_REFILL = timedelta(days=3_650)

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": MILLISECOND,
}
_DURATION_PATTERN = "".join(rf"(?:(?P<{unit}>[0-9]{{1,15}}){unit}(?![a-z]))?" for unit in _UNITS)
_DURATION = re.compile(_DURATION_PATTERN)
_BARE_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# Months differ in length, so the calendar's has none.
MONTH = timedelta(microseconds=CALENDAR_MONTH)
PERIODS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": MONTH,
}
_PERIOD_NAMES = {period: name for name, period in PERIODS.items()}
_RATE = re.compile(r"(?P<count>[0-9]+)/(?P<period>[0-9a-z]+)(?: +burst +(?P<burst>[0-9]+))?")
_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
# sun_path of unix(7) holds 108 bytes, the closing NUL among them.
_LONGEST_SOCKET_PATH = 107
_HIGHEST_PORT = 65_535
# What follows the path of a unix socket in the path of the one beside it, for datagrams.
_DATAGRAMS = ".dgram"


def parse_duration(text: str) -> timedelta:
    """Read `500ms`, `75s`, `10m`, `1h30m` or `90d`: whole numbers, larger units first.

    Raises:
        ValueError: The text is no duration, is zero, or is longer than 100 years.
    """
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} has no unit: write {text}s for seconds (units: ms, s, m, h, d)")
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 75s, 10m, 1h30m or 90d")
    # Fifteen digits of days would overflow a timedelta, so the sum is made of whole milliseconds.
    milliseconds = sum(int(match[unit] or 0) * (size // MILLISECOND) for unit, size in _UNITS.items())
    if milliseconds == 0:
        raise ValueError("a duration must be longer than nothing")
    if milliseconds > LONGEST_DURATION // MILLISECOND:
        raise ValueError(f"{text!r} is longer than {LONGEST_DURATION.days}d")
    return timedelta(milliseconds=milliseconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration as `parse_duration` reads it, in the largest unit that fits: `75s`, `90m`, `2h`."""
    unit = next((unit for unit, size in _UNITS.items() if not duration % size), "ms")
    return f"{duration // _UNITS[unit]}{unit}"


def at_most(duration: timedelta, longest: timedelta) -> timedelta:
    """Return a duration that is no longer than that. Raises ValueError."""
    if duration > longest:
        raise ValueError(f"must be at most {format_duration(longest)}")
    return duration


def to_duration(value: object) -> timedelta:
    """Accept a duration's text, or a timedelta that its text form can express.

    Raises:
        ValueError: As `parse_duration`; also for a number without unit and for a fraction of a millisecond.
    """
    if isinstance(value, timedelta):
        if not timedelta() < value <= LONGEST_DURATION or value % MILLISECOND:
            raise ValueError("a duration is made of whole milliseconds, more than none and at most 100 years")
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a duration such as 500ms, 75s, 10m, 1h30m or 90d")  # noqa: TRY004 - for pydantic
    return parse_duration(str(value))


Duration = Annotated[
    timedelta,
    BeforeValidator(to_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            KIND: "duration",
            "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
            "examples": ["500ms", "75s", "1h30m", "90d"],
        }
    ),
]
"""A timedelta of whole milliseconds, written as text with its units."""


class Rate(NamedTuple):
    """So many requests for each period, as operators say it; `burst` is None where none was given."""

    amount: int
    period: timedelta
    burst: int | None = None

    @property
    def capacity(self) -> int:
        """How many requests may come at once."""
        return self.amount if self.burst is None else self.burst


def parse_rate(text: str) -> Rate:
    """Read `10/second burst 20`, `1000/hour`, `100000/month` or `5/10s`.

    Raises:
        ValueError: The text is no rate, or one of its numbers is outside 1 to 1000000000.
    """
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a rate such as '10/second burst 20', '1000/hour' or '5/10s'")
    word = match["period"]
    if word not in PERIODS and not word[0].isdigit():
        raise ValueError(f"{word!r} is not a period: write {', '.join(PERIODS)} or one such as 10s")
    count = _counted(match["count"], "count")
    burst = None if match["burst"] is None else _counted(match["burst"], "burst")
    return Rate(count, PERIODS[word] if word in PERIODS else parse_duration(word), burst)


def to_rate(value: object) -> Rate:
    """Accept a rate or its text. Raises ValueError as `parse_rate`, and for anything else."""
    if isinstance(value, Rate):
        return value
    if not isinstance(value, str):
        raise ValueError("must be text such as '10/second burst 20'")  # noqa: TRY004 - for pydantic
    return parse_rate(value)


def format_rate(rate: Rate) -> str:
    """Write a rate as `parse_rate` reads it."""
    burst = "" if rate.burst is None else f" burst {rate.burst}"
    return f"{rate.amount}/{format_period(rate.period)}{burst}"


def format_period(period: timedelta) -> str:
    """Write the period of a rate: `second`, `month`, `10s`."""
    return _PERIOD_NAMES.get(period) or format_duration(period)


def name_of_period(period: timedelta) -> str:
    """Name a rate after its period: `per-second`, `per-10s`."""
    return f"per-{format_period(period)}"


def _counted(digits: str, what: str) -> int:
    # Python refuses to turn thousands of digits into a number, with a message about its own settings.
    count = int(digits) if len(digits) <= len(str(LARGEST_COUNT)) else LARGEST_COUNT + 1
    if not 1 <= count <= LARGEST_COUNT:
        raise ValueError(f"the {what} of a rate must be 1 to {LARGEST_COUNT}")
    return count


RateText = Annotated[
    Rate,
    PlainValidator(to_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", KIND: "rate"}),
]
"""A rate, written as text."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener waits: `host` and `port`, or the `path` of a unix socket (host empty, port 0).

    `host` is an IP address without brackets or a host name; port 0 lets the kernel choose a free one.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_unix(self) -> bool:
        """Say whether this is a unix socket."""
        return bool(self.path)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def for_datagrams(self) -> Address:
        """Return where datagrams are taken beside this listener. Raises ValueError for too long a path.

        A stream socket and a datagram socket can't have one path, as they can have one port.
        """
        return parse_address(f"unix:{self.path}{_DATAGRAMS}") if self.path else self

    def collides_with(self, other: Address) -> bool:
        """Say whether two listeners can't have these addresses at the same time."""
        if self.path or other.path:
            return self.path == other.path
        if self.port != other.port or self.port == 0:
            return False
        mine, theirs = _ip(self.host), _ip(other.host)
        if mine is None or theirs is None:
            return self.host.lower() == other.host.lower()
        return mine == theirs or (
            mine.version == theirs.version and (mine.is_unspecified or theirs.is_unspecified)
        )


def parse_address(text: str) -> Address:
    """Read `127.0.0.1:9000`, `[::1]:9000`, `localhost:9000` or `unix:/run/extauth/check.sock`.

    Raises:
        ValueError: The text is none of these.
    """
    if text.startswith("unix:"):
        return _parse_socket_path(text.removeprefix("unix:"))
    match = _HOST_PORT.fullmatch(text)
    if match is None or not (match["v6"] or match["host"]):
        raise ValueError(
            f"{text!r} is not an address such as 127.0.0.1:9000, [::1]:9000 or unix:/run/extauth/check.sock"
        )
    port = int(match["port"])
    if port > _HIGHEST_PORT:
        raise ValueError(f"{text!r} has a port above {_HIGHEST_PORT}")
    if match["v6"]:
        ip = _ip(match["v6"])
        if ip is None or ip.version != 6:  # noqa: PLR2004 - the version number of IPv6 is its name
            raise ValueError(f"{text!r} has no IPv6 address between its brackets")
        return Address(match["v6"], port)
    return Address(_checked_host(match["host"]), port)


def _parse_socket_path(path: str) -> Address:
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(
            f"'unix:{path}' needs the absolute path of a socket, such as unix:/run/extauth/check.sock"
        )
    if not path.isprintable():
        raise ValueError("a socket's path can't hold control characters")
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"a socket's path can't be longer than {_LONGEST_SOCKET_PATH} bytes")
    return Address(path=path)


def _checked_host(host: str) -> str:
    # A name whose last part is a number is a misspelt IPv4 address, which resolvers read differently.
    looks_like_ipv4 = host.rpartition(".")[2].isdigit()
    if _ip(host) is None and (looks_like_ipv4 or not _HOST_NAME.fullmatch(host)):
        raise ValueError(f"{host!r} is neither an IP address nor a host name")
    return host


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
