"""The ways in which HTTP parsers are known to read one path: a yardstick of its own, not extauth's rule.

No parser does all of this, but each step is what some server, framework or proxy does, at least by a setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

# What RFC 3986 section 3.3 lets stand in a segment as it is. `quote` adds the unreserved characters itself.
_LITERAL = "!$&'()*+,=:@"


def readings(path: str) -> set[str]:
    """Return every path that some parser takes this raw path for, each in its one canonical spelling.

    A path is unambiguous exactly if the result is the path itself and nothing else.
    """
    raw = path.encode("latin-1")
    once = unquote_to_bytes(raw)
    twice = unquote_to_bytes(once)
    split_first = {
        _spell([unquote_to_bytes(segment) for segment in step(raw).split(b"/")]) for step in _STEPS
    }
    decoded_first = {_spell(step(decoded).split(b"/")) for decoded in (once, twice) for step in _STEPS}
    return split_first | decoded_first


def _spell(segments: list[bytes]) -> str:
    return "/".join(quote(segment, safe=_LITERAL) for segment in segments)


def _as_it_is(path: bytes) -> bytes:
    return path


def _backslash_is_slash(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def _merge_slashes(path: bytes) -> bytes:
    return re.sub(rb"/+", b"/", path)


def _cut_parameters(path: bytes) -> bytes:
    return re.sub(rb";[^/]*", b"", path)


def _cut_at_delimiters(path: bytes) -> bytes:
    return re.split(rb"[?#\x00-\x1f\x7f]", path, maxsplit=1)[0]


def _replace_bad_utf8(path: bytes) -> bytes:
    return path.decode("utf-8", "replace").encode()


def _resolve_dots(path: bytes) -> bytes:
    resolved: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            # The first one is the empty text before the leading slash: nothing climbs above the root.
            resolved[1:] = resolved[1:-1]
        elif segment != b".":
            resolved.append(segment)
    return b"/".join(resolved)


def _everything(path: bytes) -> bytes:
    for step in (_cut_at_delimiters, _cut_parameters, _backslash_is_slash, _merge_slashes, _resolve_dots):
        path = step(path)
    return path


_STEPS: tuple[Callable[[bytes], bytes], ...] = (
    _as_it_is,
    _backslash_is_slash,
    _merge_slashes,
    _cut_parameters,
    _cut_at_delimiters,
    _replace_bad_utf8,
    _resolve_dots,
    _everything,
)
