"""Headers of answers: how limits are told, and what keeps browsers from misusing an answer."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from extauth.settings.base import Section

# RFC 9110 section 5.6.2.
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# What extauth, a proxy or the framing of HTTP says with every answer: a second line would contradict it.
_TAKEN = frozenset(
    {
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "deprecation",
        "retry-after",
        "sunset",
        "transfer-encoding",
        "www-authenticate",
    }
)
_TAKEN_PREFIXES = ("ratelimit", "x-auth-", "x-envoy-", "x-extauth-", "x-ratelimit-")
# All headers of an answer stay below 4 kB, which is what a proxy is sure to read.
_LONGEST = 1_024

# The shipped configurations of the proxies add the same to every answer; a test compares them.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def _check_lines(lines: dict[str, str]) -> dict[str, str]:
    for name, value in lines.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in _TAKEN or name.lower().startswith(_TAKEN_PREFIXES):
            raise ValueError(f"{name!r} is set by extauth, the proxy or HTTP itself")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value of {name!r} must be printable ASCII, and not empty")
    if len({name.lower() for name in lines}) < len(lines):
        raise ValueError("names a header twice: upper and lower case make no difference")
    if sum(len(name) + len(value) + len(": \r\n") for name, value in lines.items()) > _LONGEST:
        raise ValueError(f"can't be longer than {_LONGEST} bytes together")
    return lines


class HeaderSettings(Section):
    """How limits are told to clients, and what else stands on answers."""

    reset: Literal["delta", "epoch"] = Field(
        default="delta",
        description="What `X-RateLimit-Reset` holds: seconds from now, or seconds since 1970.",
    )
    security: Annotated[dict[str, str], AfterValidator(_check_lines)] = Field(
        default=SECURITY_HEADERS,
        description=(
            "Headers of all refusals, and of all answers of the admin listener that have none of that name. "
            "A mapping replaces the default, `{}` means none. The shipped proxy configurations hold the same "
            "list, for all other answers."
        ),
    )
