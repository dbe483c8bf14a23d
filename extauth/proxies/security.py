"""`headers.security` as the configurations of proxies say it: most on every answer, one over TLS only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

# Over plain HTTP browsers pass it by (RFC 6797 section 8.1). The shipped configurations have it over TLS,
# whether or not it is set.
HTTPS_ONLY = "strict-transport-security"
WORD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def everywhere(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of every answer."""
    return {name: value for name, value in headers.items() if name.lower() != HTTPS_ONLY}


def https_only(headers: Mapping[str, str]) -> str | None:
    """Return what is set for answers over TLS, if anything is."""
    return {name.lower(): value for name, value in headers.items()}.get(HTTPS_ONLY)


def said(headers: Mapping[str, str], can_say: Callable[[str], bool]) -> dict[str, str]:
    """Return those that a proxy can say: the name is a word, and `can_say` holds for the value."""
    return {name: value for name, value in headers.items() if WORD.fullmatch(name) and can_say(value)}


def unsaid(
    title: str, headers: Mapping[str, str], can_say: Callable[[str], bool], *, but: str
) -> Iterator[str]:
    """Warn of each that a proxy can't say. `but` is what its values can't hold."""
    for name in headers.keys() - said(headers, can_say).keys():
        yield (
            f"headers.security: {title} can't say {name!r}: the name must be letters, digits and dashes, "
            f"and a value can hold no {but}. Only extauth's refusals have it"
        )
