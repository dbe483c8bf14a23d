"""What names, scopes, hosts, methods, path templates and URLs in the settings may look like.

Pure functions of text that give the checked text back or raise ValueError with a sentence; no model here.
"""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path

from extauth.keys.scopes import is_scope
from extauth.paths import is_unambiguous
from extauth.settings.redis_url import REDIS_SCHEMES, parse_redis_url

LABEL = re.compile(r"[a-z][a-z0-9]{0,15}")
TIER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
RATE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")

_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")
_REFUSED_METHODS = {
    "CONNECT": "it opens a tunnel, in which no later request is ever checked",
    "TRACE": "it sends the request back to the client, with the headers that proxies added",
}
_HOST = re.compile(r"(?:\*\.)?(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_CAPTURE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_WHOLE_SEGMENT_PROBLEMS = {
    "": "has an empty segment ('//'), which some servers merge away",
    ".": "has the segment '.', which some servers resolve",
    "..": "has the segment '..', which some servers resolve",
    "**": "has '**' before its end: it stands for the rest of a path",
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
_SQLITE = "sqlite:///"
_QUOTABLE_URL = re.compile(r"[A-Za-z0-9._~:/\[\]-]+")
LONGEST_TITLE = 80
UNDERSTOOD_STORES = ("sqlite", *REDIS_SCHEMES)


def check_label(text: str) -> str:
    """Check a key prefix or an environment: it stands between underscores in every key."""
    if not LABEL.fullmatch(text):
        raise ValueError(f"{text!r} must be 1 to 16 lower-case letters and digits, a letter first")
    return text


def check_tier_name(text: str) -> str:
    """Check the name of a tier."""
    if not TIER_NAME.fullmatch(text):
        raise ValueError(f"{text!r} must be 1 to 32 lower-case letters, digits, '_' and '-', a letter first")
    return text


def check_rate_name(text: str) -> str:
    """Check the name of a rate: it appears in the RateLimit headers."""
    if not RATE_NAME.fullmatch(text):
        raise ValueError(f"{text!r} must be 1 to 32 lower-case letters, digits and '-', a letter first")
    return text


def check_scope(text: str) -> str:
    """Check a scope: segments joined by ':', of which the last may be '*', or '*' alone."""
    if not is_scope(text):
        raise ValueError(f"{text!r} is not a scope such as orders:read, orders:* or *")
    return text


def check_method(text: str) -> str:
    """Check an HTTP method: upper-case, and none of those that a check can't protect."""
    if text.upper() in _REFUSED_METHODS:
        raise ValueError(f"{text!r} can't be allowed: {_REFUSED_METHODS[text.upper()]}")
    if not _METHOD.fullmatch(text):
        raise ValueError(f"{text!r} is not a method: methods are upper-case words such as GET")
    return text


def check_host(text: str) -> str:
    """Check a host, `api.example.com` or `*.example.com`, and give it in lower case."""
    lowered = text.lower()
    if not _HOST.fullmatch(lowered):
        raise ValueError(
            f"{text!r} is not a host such as api.example.com or *.example.com (without scheme or port)"
        )
    return lowered


def check_template(text: str) -> str:
    """Check a path template against the rule for paths that no two parsers read differently.

    A template that only an ambiguous path could match would never match, since such paths are refused before.
    """
    if not text.startswith("/"):
        raise ValueError(f"{text!r} must begin with '/'")
    segments = text[1:].split("/")
    captures = [segment for segment in segments if _CAPTURE.fullmatch(segment)]
    if len(captures) != len(set(captures)):
        raise ValueError(f"{text!r} uses one name for two segments")
    for position, segment in enumerate(segments):
        is_last = position == len(segments) - 1
        if problem := _segment_problem(segment, is_last=is_last):
            raise ValueError(f"{text!r} {problem}")
    return text


def _segment_problem(segment: str, *, is_last: bool) -> str | None:
    if segment == "*" or _CAPTURE.fullmatch(segment) or (is_last and segment in {"", "**"}):
        return None
    if segment in _WHOLE_SEGMENT_PROBLEMS:
        return _WHOLE_SEGMENT_PROBLEMS[segment]
    if "*" in segment:
        return "has '*' within a segment: it stands for a whole one"
    if "{" in segment or "}" in segment:
        return "has a brace that isn't part of a whole segment such as {id}"
    refused = [char for char in segment if not is_unambiguous(f"/x{char}")]
    return f"has the character {refused[0]!r}, which a template can't hold" if refused else None


def check_printable(text: str) -> str:
    """Check text that stands in a quoted header value, where nothing of it may need escaping."""
    if not text or not all(" " <= char <= "~" and char not in '"\\' for char in text):
        raise ValueError("must be printable ASCII without quotes and backslashes, and not empty")
    return text


def check_docs_url(text: str) -> str:
    """Check the URL of the documentation and take trailing slashes off, since paths are appended to it."""
    # The text is not repeated in messages: a URL may hold a password.
    wanted = "must be an http:// or https:// URL such as https://docs.example.com"
    try:
        parts = urllib.parse.urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ValueError(wanted)
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError(f"{wanted}, without user, query and fragment")
    if not all("!" <= char <= "~" and char not in '"\\<>^`{|}' for char in text):
        raise ValueError(f"{wanted}, in ASCII without spaces and quotes")
    return text.rstrip("/")


def check_api_url(text: str) -> str:
    """Check the URL of the API: as `check_docs_url`, and fit to stand in the quotes of any language."""
    url = check_docs_url(text)
    if not _QUOTABLE_URL.fullmatch(url):
        raise ValueError("must hold letters, digits, '.', '-', '_', '~', ':', '/', '[' and ']' only")
    return url


def check_title(text: str) -> str:
    """Check a title of one line, in any script."""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_TITLE:
        raise ValueError(f"must be 1 to {LONGEST_TITLE} printable characters")
    return text


def check_store_url(text: str) -> str:
    """Check a store's URL: a file's (an absolute path brings the fourth slash), or a Redis's."""
    # Only the scheme is repeated in messages: the rest of a store's URL may hold a password.
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ValueError("must be a URL such as sqlite:///extauth-data/extauth.db or redis://localhost:6379")
    if scheme[1] not in UNDERSTOOD_STORES:
        raise ValueError(
            f"{scheme[1]!r} is not a store that this version understands: {', '.join(UNDERSTOOD_STORES)}"
        )
    if scheme[1] in REDIS_SCHEMES:
        parse_redis_url(text)
        return text
    path = text.removeprefix(_SQLITE)
    if path in {text, "", ":memory:"} or path.endswith("/"):
        raise ValueError("must name a file: sqlite:///relative/file.db or sqlite:////absolute/file.db")
    if not path.isprintable() or "?" in path or "#" in path:
        raise ValueError("must name a file without options, and without '?', '#' and control characters")
    return text


def store_path(url: str) -> Path:
    """Take the file out of a checked `sqlite:` URL."""
    return Path(url.removeprefix(_SQLITE))
