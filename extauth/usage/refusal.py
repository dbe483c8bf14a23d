"""One refusal, as it is kept for whoever asks why a key was refused."""

from __future__ import annotations

import orjson

from extauth.clock import from_us
from extauth.keys.token import mask_keys
from extauth.model import CheckRequest, Decision

# A request, what became of it, and when, in microseconds.
Refused = tuple[CheckRequest, Decision, int]

_LONGEST_PATH = 512
_LONGEST_WORD = 128


def refusal_line(refused: Refused) -> str:
    """Return it as JSON. What looks like a key in a path or an id is masked, as in logs."""
    request, decision, at_us = refused
    fields = {
        "at": from_us(at_us).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "code": decision.code.value,
        "method": mask_keys(request.target.method)[:_LONGEST_WORD],
        "path": mask_keys(request.target.path)[:_LONGEST_PATH],
        "route": decision.route,
        "violated": decision.violated,
        "retry_after": decision.retry_after,
        "client_ip": mask_keys(request.client_ip)[:_LONGEST_WORD],
        "request_id": mask_keys(request.request_id)[:_LONGEST_WORD],
        "reason": mask_keys(decision.reason),
    }
    return orjson.dumps(fields).decode()
