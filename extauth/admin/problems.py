"""What the admin listener refuses with: one table of codes, and RFC 9457 problems made from it.

A problem is a value until the last moment; the one place where it becomes an answer is `ProblemResponse`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from extauth.errors import (
    ConflictError,
    ExtauthError,
    NotFoundError,
    OverloadedError,
    StoreError,
    TooManyKeysError,
)
from extauth.keys.token import mask_keys

# Whatever this listener says is true for the moment only, and some of it must not lie around.
NO_STORE: Mapping[str, str] = {"cache-control": "no-store"}
PROBLEM_TYPE = "application/problem+json"
# What a caller is told to wait when the store is gone: as on the check listener.
RETRY_SECONDS = 1


class AdminCode(enum.StrEnum):
    """The stable machine-readable name of a refusal: `code` in problem bodies."""

    MALFORMED_BODY = "malformed_body"
    INVALID_QUERY = "invalid_query"
    MISSING_KEY = "missing_key"
    INVALID_KEY = "invalid_key"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NOT_FOUND = "not_found"
    KEY_NOT_FOUND = "key_not_found"
    BAN_NOT_FOUND = "ban_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    NOT_ROTATED = "not_rotated"
    TOO_MANY_KEYS = "too_many_keys"
    PRECONDITION_FAILED = "precondition_failed"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID_INPUT = "invalid_input"
    COOLING_DOWN = "cooling_down"
    NO_SESSION = "no_session"
    CROSS_SITE = "cross_site"
    SELF_SERVICE_OFF = "self_service_off"
    TOO_MANY_STREAMS = "too_many_streams"
    INTERNAL_ERROR = "internal_error"
    STORE_UNAVAILABLE = "store_unavailable"
    OVERLOADED = "overloaded"


class AdminProblemKind(NamedTuple):
    """What is always said with a code; a problem may have a closer detail."""

    status: int
    title: str
    detail: str


_UNAVAILABLE = "Service Unavailable"
ADMIN_PROBLEMS: Mapping[AdminCode, AdminProblemKind] = {
    AdminCode.MALFORMED_BODY: AdminProblemKind(400, "Bad Request", "The body is not well-formed JSON."),
    AdminCode.INVALID_QUERY: AdminProblemKind(400, "Bad Request", "The query can't be understood."),
    AdminCode.MISSING_KEY: AdminProblemKind(
        401, "Unauthorized", "No API key was sent. Send it as 'Authorization: Bearer <key>'."
    ),
    AdminCode.INVALID_KEY: AdminProblemKind(
        401, "Unauthorized", "The API key is not valid. It may be mistyped, expired, disabled or revoked."
    ),
    AdminCode.INSUFFICIENT_SCOPE: AdminProblemKind(
        403, "Forbidden", "The API key lacks the scope that WWW-Authenticate names."
    ),
    AdminCode.NOT_FOUND: AdminProblemKind(404, "Not Found", "Not Found."),
    AdminCode.KEY_NOT_FOUND: AdminProblemKind(404, "Not Found", "There is no key with this id."),
    AdminCode.BAN_NOT_FOUND: AdminProblemKind(404, "Not Found", "There is no such ban; it may be over."),
    AdminCode.METHOD_NOT_ALLOWED: AdminProblemKind(405, "Method Not Allowed", "Method Not Allowed."),
    AdminCode.CONFLICT: AdminProblemKind(409, "Conflict", "Somebody else was faster."),
    AdminCode.NOT_ROTATED: AdminProblemKind(
        409, "Conflict", "The key was not rotated, so it has no grace that could end."
    ),
    AdminCode.TOO_MANY_KEYS: AdminProblemKind(
        409, "Conflict", "The user has as many keys as the policy allows."
    ),
    AdminCode.PRECONDITION_FAILED: AdminProblemKind(
        412,
        "Precondition Failed",
        "The key has another version than If-Match names; ETag has the current one.",
    ),
    AdminCode.BODY_TOO_LARGE: AdminProblemKind(
        413, "Content Too Large", "A body may hold 65536 bytes at most."
    ),
    AdminCode.UNSUPPORTED_MEDIA_TYPE: AdminProblemKind(
        415, "Unsupported Media Type", "Bodies are application/json, without a content encoding."
    ),
    AdminCode.INVALID_INPUT: AdminProblemKind(
        422, "Unprocessable Content", "What was asked for can't be; errors says why, field by field."
    ),
    AdminCode.COOLING_DOWN: AdminProblemKind(
        429,
        "Too Many Requests",
        "Too many keys from here were no good, or an operator has banned you. Send nothing for as many "
        "seconds as Retry-After says.",
    ),
    AdminCode.NO_SESSION: AdminProblemKind(
        401, "Unauthorized", "You are not signed in, or your session has ended. Sign in with a key."
    ),
    AdminCode.CROSS_SITE: AdminProblemKind(
        403,
        "Forbidden",
        "The request doesn't come from the dashboard's own pages, or lacks the session's X-CSRF-Token.",
    ),
    AdminCode.SELF_SERVICE_OFF: AdminProblemKind(
        403, "Forbidden", "You can't do this to your keys yourself. Ask whoever runs this API."
    ),
    AdminCode.TOO_MANY_STREAMS: AdminProblemKind(
        429, "Too Many Requests", "Too many pages are being kept up to date. Close some, or try again later."
    ),
    AdminCode.INTERNAL_ERROR: AdminProblemKind(
        500, "Internal Server Error", "A fault that nobody foresaw; the log has it."
    ),
    AdminCode.STORE_UNAVAILABLE: AdminProblemKind(
        503, _UNAVAILABLE, "The keys can't be reached at the moment. Try again after Retry-After seconds."
    ),
    AdminCode.OVERLOADED: AdminProblemKind(
        503, _UNAVAILABLE, "Too many secrets are being hashed. Try again after Retry-After seconds."
    ),
}

# A field and what is wrong about it. Fields of a body are JSON pointers (RFC 6901), where the empty one means
# all of it; parameters and headers go by their names.
FieldMistake = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal. Without a detail, that of the code."""

    code: AdminCode
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    mistakes: tuple[FieldMistake, ...] = ()

    @property
    def status(self) -> int:
        """The status that belongs to the code."""
        return ADMIN_PROBLEMS[self.code].status

    def body(self) -> dict[str, Any]:
        """Return the problem as JSON has it. What callers sent in the wrong place is masked."""
        kind = ADMIN_PROBLEMS[self.code]
        body: dict[str, Any] = {
            "type": f"urn:extauth:problem:{self.code}",
            "title": kind.title,
            "status": kind.status,
            "detail": mask_keys(self.detail or kind.detail),
            "code": self.code.value,
        }
        if self.mistakes:
            body["errors"] = [
                {"field": mask_keys(name), "detail": mask_keys(detail)} for name, detail in self.mistakes
            ]
        return body


class ProblemResponse(Response):
    """A problem on its way out."""

    media_type = PROBLEM_TYPE

    def __init__(self, problem: Problem) -> None:
        super().__init__(orjson.dumps(problem.body()), problem.status, {**problem.headers, **NO_STORE})


def problem_of(error: ExtauthError) -> Problem:
    """Return what a fault of the key service comes to; `mistakes.refusal` has those that name fields.

    Raises the error again where a caller can't do anything about it.
    """
    match error:
        case NotFoundError():
            return Problem(code=AdminCode.KEY_NOT_FOUND)
        case TooManyKeysError():
            return Problem(code=AdminCode.TOO_MANY_KEYS, detail=_sentence(error))
        case ConflictError():
            return Problem(code=AdminCode.CONFLICT, detail=_sentence(error))
        case StoreError():
            return Problem(code=AdminCode.STORE_UNAVAILABLE, headers=_retry_after(RETRY_SECONDS))
        case OverloadedError():
            return Problem(code=AdminCode.OVERLOADED, headers=_retry_after(error.retry_after))
        case _:
            raise error


def _sentence(error: ExtauthError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _retry_after(seconds: int) -> Mapping[str, str]:
    return {"retry-after": str(seconds)}
