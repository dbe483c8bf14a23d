"""What the check listener answers to requests that are no checks: malformed, too large, too slow, for nobody.

Whoever sees these is a proxy with a wrong configuration, or not a proxy at all. They are problems (RFC 9457).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import orjson

from extauth.dialects.base import Answer
from extauth.dialects.problems import PROBLEM_TYPE


class Refusal(enum.StrEnum):
    """Why a request was refused before it could be a check: `code` in the body, `reason` in metrics."""

    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    REQUEST_TIMEOUT = "request_timeout"
    HEAD_TOO_LARGE = "head_too_large"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    FAULT = "fault"


_KINDS: Mapping[Refusal, tuple[int, str, str]] = {
    Refusal.BAD_REQUEST: (400, "Bad Request", "The request is not well-formed HTTP/1.1."),
    Refusal.NOT_FOUND: (
        404,
        "Not Found",
        (
            "This listener answers checks only: below /envoy (ext_authz with path_prefix: /envoy), "
            "at /nginx (auth_request) and at /forward (forwardAuth, forward_auth)."
        ),
    ),
    Refusal.REQUEST_TIMEOUT: (408, "Request Timeout", "The request did not arrive in time."),
    Refusal.HEAD_TOO_LARGE: (
        431,
        "Request Header Fields Too Large",
        "The request line and headers of a check must stay below 32 KiB and 100 headers.",
    ),
    Refusal.TOO_MANY_CONNECTIONS: (
        503,
        "Service Unavailable",
        "All connections of this listener are in use (listen.max_connections).",
    ),
    Refusal.FAULT: (
        503,
        "Service Unavailable",
        "The request could not be checked because of a fault in the authorization service.",
    ),
}


def _answer(refusal: Refusal) -> Answer:
    status, title, detail = _KINDS[refusal]
    problem = {
        "type": f"urn:extauth:problem:{refusal}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": refusal.value,
    }
    head = b"content-type: " + PROBLEM_TYPE + b"\r\ncache-control: no-store\r\n"
    return Answer(status, head, orjson.dumps(problem))


_ANSWERS = {refusal: _answer(refusal) for refusal in Refusal}


def refuse(refusal: Refusal) -> Answer:
    """Return the answer for a refusal."""
    return _ANSWERS[refusal]
