"""Problem bodies (RFC 9457) and the true status of every decision: one table, no code without its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from extauth.bounded import Memo
from extauth.model import Code, Decision

_PREPARED = 1_024
PROBLEM_TYPE = b"application/problem+json"

# Registered by the RateLimit draft (draft-ietf-httpapi-ratelimit-headers-11, "Problem Types").
_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_ABNORMAL_USAGE = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"
_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


class ProblemKind(NamedTuple):
    """What is always said with a code; `registered_type` is the IANA problem type, where one fits."""

    status: int
    title: str
    detail: str
    registered_type: str = ""


PROBLEMS: Mapping[Code, ProblemKind] = {
    Code.AMBIGUOUS_CREDENTIALS: ProblemKind(
        400,
        "Bad Request",
        "The request carries more than one credential. Send the API key once, in one header.",
    ),
    Code.AMBIGUOUS_PATH: ProblemKind(
        400,
        "Bad Request",
        "The method, host or path can be read in more than one way. Send a known method in upper case, and a "
        "path without dot segments, empty segments, semicolons, or escapes of characters that need none.",
    ),
    Code.MISSING_KEY: ProblemKind(
        401,
        "Unauthorized",
        "No API key was sent. Send it as 'Authorization: Bearer <key>' or as 'X-API-Key: <key>'.",
    ),
    Code.INVALID_KEY: ProblemKind(
        401, "Unauthorized", "The API key is not valid. It may be mistyped, expired, disabled or revoked."
    ),
    Code.INSUFFICIENT_SCOPE: ProblemKind(
        403, "Forbidden", "The API key lacks a scope that this request needs; WWW-Authenticate names them."
    ),
    Code.ROUTE_DENIED: ProblemKind(403, "Forbidden", "No route of this API allows this method and path."),
    Code.RATE_LIMITED: ProblemKind(
        429,
        "Too Many Requests",
        "The rate limit is spent. Wait as many seconds as Retry-After says, then go on more slowly.",
        _QUOTA_EXCEEDED,
    ),
    Code.QUOTA_EXCEEDED: ProblemKind(
        429,
        "Too Many Requests",
        "The quota is used up. It begins anew in as many seconds as Retry-After says.",
        _QUOTA_EXCEEDED,
    ),
    Code.COOLING_DOWN: ProblemKind(
        429,
        "Too Many Requests",
        "Too many requests were sent although they were refused. Send none for as many seconds as "
        "Retry-After says: each time this happens again, it takes longer.",
        _ABNORMAL_USAGE,
    ),
    Code.TOO_MANY_CONCURRENT: ProblemKind(
        429,
        "Too Many Requests",
        "Too many requests are in flight at once. Send the next ones when earlier ones have been answered.",
    ),
    Code.STORE_UNAVAILABLE: ProblemKind(
        503,
        "Service Unavailable",
        "The request can't be checked at the moment. Try again after Retry-After seconds.",
    ),
    Code.OVERLOADED: ProblemKind(
        503,
        "Service Unavailable",
        "Too many requests are being checked at the moment. Try again after Retry-After seconds.",
        _REDUCED_CAPACITY,
    ),
    Code.INTERNAL_ERROR: ProblemKind(
        503,
        "Service Unavailable",
        "The request could not be checked because of a fault in the authorization service. Its log has the "
        "details under this request id.",
    ),
}


class ProblemWriter:
    """Writes problem bodies; `docs_url` is where consumers find a page for each code, if anywhere."""

    def __init__(self, *, docs_url: str | None) -> None:
        # All but the last members of a body are the same for every request.
        self._beginnings = {code: _beginning(code, kind, docs_url) for code, kind in PROBLEMS.items()}
        self._violations: Memo[tuple[str, ...], bytes] = Memo(_violated_policies, _PREPARED)

    def body(self, decision: Decision, request_id: str) -> bytes:
        """Return the problem as one line of ASCII JSON, fit for a header too."""
        begin, id_text = self._beginnings[decision.code], orjson.dumps(ascii_only(request_id))
        if decision.violated:
            return begin + id_text + self._violations[decision.violated]
        return begin + id_text + b"}"


def _beginning(code: Code, kind: ProblemKind, docs_url: str | None) -> bytes:
    problem = {
        "type": _type_of(code, kind, docs_url),
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail,
        "code": code.value,
    }
    return orjson.dumps(problem)[:-1] + b',"request_id":'


def _violated_policies(names: tuple[str, ...]) -> bytes:
    return b',"violated-policies":%b}' % orjson.dumps(names)


def _type_of(code: Code, kind: ProblemKind, docs_url: str | None) -> str:
    if kind.registered_type:
        return kind.registered_type
    return f"{docs_url}/problems/{code}" if docs_url else f"urn:extauth:problem:{code}"


def ascii_only(text: str) -> str:
    """Replace what is no printable ASCII: the text also travels in a header."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if " " <= character <= "~" else "?" for character in text)
