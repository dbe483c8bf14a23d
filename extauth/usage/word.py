"""Whose request it was, in a word behind its lease, which proxies carry and report with the request's end.

So the status and the duration of a request upstream are counted where its check was, by whatever server hears
of them. It says what the upstream is told anyway, and the name of the route.
"""

from __future__ import annotations

import base64
import binascii

from extauth.model import ApiKey
from extauth.stores.usage import Place

# No lease has it, nor has base64.
MARK = "~"
# A lease with it must still be one that is read.
_LONGEST = 400


def encode(key: ApiKey | None, route: str) -> str:
    """Return the mark and the word; nothing where it would be too long."""
    parts = ("", "", "", route) if key is None else (key.key_id, key.user_id, key.tier, route)
    word = base64.urlsafe_b64encode("\n".join(parts).encode()).rstrip(b"=").decode("ascii")
    return MARK + word if len(word) <= _LONGEST else ""


def decode(word: str) -> Place | None:
    """Read such a word, without the mark; None where it is none."""
    try:
        parts = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode().split("\n")
    except (binascii.Error, ValueError):
        return None
    return Place(*parts) if len(parts) == len(Place._fields) else None
