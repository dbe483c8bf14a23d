"""From a request's bytes to what it asks for: bounded bodies, strict queries, conditions.

Of what doesn't fit, the rest comes back with what is wrong; a body that has no fields, as a problem.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request

from extauth.admin.fitting import Fitting, fitting
from extauth.admin.models import Asked
from extauth.admin.problems import AdminCode, Problem

Input = TypeVar("Input", bound=Asked)

LARGEST_BODY = 65_536
# Answers hold what a body held some levels deeper, and the writer of JSON has a bound of its own.
_DEEPEST = 32
_ENTITY_TAG = re.compile(r'\s*(?:W/)?"[!#-~\x80-\xff]*"\s*')


def read_query(request: Request, model: type[Input]) -> Fitting[Input]:
    """Return what fits of the query."""
    pairs = request.query_params.multi_items()
    counts = Counter(name for name, _ in pairs)
    # Of unknown parameters there is more to say than that.
    twice = [name for name, times in counts.items() if times > 1 and name in model.model_fields]
    query = fitting({name: value for name, value in pairs if name not in twice}, model)
    mistakes = (((name,), "is given more than once") for name in twice)
    return replace(query, mistakes=(*mistakes, *query.mistakes), unread=query.unread.union(twice))


async def read_body(request: Request, model: type[Input], *, needed: bool) -> Fitting[Input] | Problem:
    """Return what fits of the body; an empty one counts as `{}` unless it is needed."""
    raw = await _bounded(request)
    if isinstance(raw, Problem):
        return raw
    if not raw and not needed:
        return fitting({}, model)
    if not _is_plain_json(request):
        return Problem(code=AdminCode.UNSUPPORTED_MEDIA_TYPE, headers={"accept": "application/json"})
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Problem(code=AdminCode.MALFORMED_BODY)
    if not _is_shallow(value):
        return Problem(
            code=AdminCode.MALFORMED_BODY, detail=f"The body is nested deeper than {_DEEPEST} levels."
        )
    return fitting(value, model)


def read_if_match(request: Request) -> frozenset[str] | None:
    """Return the entity tags of If-Match (RFC 9110 section 13.1.1), None where any or no condition is given.

    Weak tags never match, and where something is no list of tags, nothing does.
    """
    lines = request.headers.getlist("if-match")
    if not lines or [line.strip() for line in lines] == ["*"]:
        return None
    members = ",".join(lines).split(",")
    if not all(_ENTITY_TAG.fullmatch(member) for member in members):
        return frozenset()
    return frozenset(member.strip() for member in members)


def read_idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, as HTTP joins the lines of a header."""
    lines = request.headers.getlist("idempotency-key")
    return ", ".join(lines) if lines else None


async def _bounded(request: Request) -> bytes | Problem:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                return Problem(code=AdminCode.BODY_TOO_LARGE)
    except ClientDisconnect:
        # Nobody is there to read this; it is no fault of ours either.
        return Problem(code=AdminCode.MALFORMED_BODY, detail="The body ended early.")
    return bytes(body)


def _is_plain_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" and request.headers.get("content-encoding", "identity") == "identity"


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _members(outer)]
        if not level:
            return True
    return False


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
