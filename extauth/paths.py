"""Which paths may be decided on at all: only those that no two HTTP parsers can read differently.

The proxy, this service and the upstream must mean the same resource. Some decode `%2f`, some merge `//`, some
strip `;x`, some resolve `..`; whatever such a difference could turn into another path is refused rather than
guessed at.
"""

from __future__ import annotations

import re
import string
from urllib.parse import unquote_to_bytes

# The characters of RFC 3986 section 3.3 (pchar), without ";", which some servers cut off as a parameter, plus
# "[" and "]".
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@\[\]]+"
_PLAIN_PATH = re.compile(rf"/|(?:/{_SEGMENT})+/?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")

# Escapes of these stand for something else once decoded: a separator, a dot segment, a second round of
# decoding, a query, a fragment; or they are a second spelling of a character that needs none (RFC 3986
# section 2.3), as in `/%61dmin`.
_NEEDLESS = (string.ascii_letters + string.digits + "-._~").encode()
_TELLING = frozenset(_NEEDLESS + b"/\\%;?#") | frozenset(range(0x20)) | {0x7F}


def is_unambiguous(path: str) -> bool:
    """Tell whether every parser reads this raw path (no query) the same way.

    No empty or dot segment, no telling escape.
    """
    if "%" in path:
        if not _escapes_are_harmless(path):
            return False
        path = _ESCAPE.sub("x", path)
    return _PLAIN_PATH.fullmatch(path) is not None


def _escapes_are_harmless(path: str) -> bool:
    for digits in _ESCAPE.findall(path):
        value = int(digits, 16)
        if value in _TELLING:
            return False
    try:
        # Overlong and broken UTF-8 is where decoders disagree: %c0%ae was a dot to some of them.
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
