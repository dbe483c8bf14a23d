"""The path rule against a second reading of its text, byte by byte, on paths that nobody thought of."""

from __future__ import annotations

import string

from hypothesis import example, given
from hypothesis import strategies as st

from extauth.paths import is_unambiguous

_NEVER_RAW = set(' \\#"<>^`{|}')
_NEVER_ENCODED = set("/\\.%;?#-_~") | set(string.ascii_letters) | set(string.digits)


def obeys_the_rule(path: str) -> bool:
    """Apply the rule's sentences one after the other, on the path before its `?`."""
    if not path.startswith("/"):
        return False
    # Every byte is printable ASCII, and none of those that parsers disagree about.
    if any(not "!" <= character <= "~" or character in _NEVER_RAW for character in path):
        return False
    decoded = _decoded(path)
    if decoded is None:
        return False
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    *inner, last = path[1:].split("/")
    if any(segment == "" for segment in inner):
        return False
    return not any(segment in {".", ".."} or ";" in segment for segment in (*inner, last))


def _decoded(path: str) -> bytes | None:
    """Return the path with its escapes decoded; None where one is broken or hides what may not be hidden."""
    decoded = bytearray()
    position = 0
    while position < len(path):
        if path[position] != "%":
            decoded.append(ord(path[position]))
            position += 1
            continue
        digits = path[position + 1 : position + 3]
        if len(digits) != 2 or not set(digits) <= set(string.hexdigits):
            return None
        byte = int(digits, 16)
        if byte < 0x20 or byte == 0x7F or chr(byte) in _NEVER_ENCODED:
            return None
        decoded.append(byte)
        position += 3
    return bytes(decoded)


# Pieces that matter beside arbitrary ones, so that dot segments, escapes and separators meet often.
_PIECES = st.one_of(
    st.sampled_from(
        [
            "/",
            "//",
            ".",
            "..",
            ";",
            "%",
            "%2f",
            "%2E",
            "%20",
            "%C3%A9",
            "%c3",
            "%a9",
            "%41",
            "%7f",
            "%zz",
            "a",
            "\\",
        ]
    ),
    st.integers(0, 255).map(lambda byte: f"%{byte:02x}"),
    st.integers(0, 255).map(chr),
)
_PATHS = st.lists(_PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces).replace("?", ""))


@given(_PATHS)
@example("/%%20")
@example("/%2%20")
@example("/a%C3/%A9")
@example("/%ED%A0%80")
@example("/.%20")
def test_the_rule_is_what_its_text_says(path: str) -> None:
    """The compiled rule accepts a path exactly where its sentences do."""
    assert is_unambiguous(path) == obeys_the_rule(path)


@given(st.integers(0, 255), st.booleans())
def test_the_rule_for_every_single_byte(byte: int, encoded: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """No byte, plain or as an escape, is forgotten."""
    path = f"/a{f'%{byte:02X}' if encoded else chr(byte)}b"
    if "?" not in path:
        assert is_unambiguous(path) == obeys_the_rule(path)


@given(st.text(max_size=20))
def test_text_that_does_not_begin_with_a_slash_is_no_path(text: str) -> None:
    """Absolute targets, `*` and authority forms name no path."""
    assert not is_unambiguous(text.lstrip("/"))


@given(_PATHS)
def test_what_passes_is_one_path_after_decoding_too(path: str) -> None:
    """An upstream that decodes once finds as many segments as stood there, and no dot segment."""
    if not is_unambiguous(path):
        return
    decoded = _decoded(path)
    assert decoded is not None
    segments = decoded.decode("utf-8").split("/")
    assert len(segments) == path.count("/") + 1
    assert not {".", ".."} & set(segments)
    assert "" not in segments[1:-1]
