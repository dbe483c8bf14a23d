"""The spans of a check, as OTLP has them: what was asked and decided, and never a key, a path or an address.

Names of attributes are those of OpenTelemetry's semantic conventions for HTTP and databases where there is
one; all others begin with `extauth.`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extauth.model import OUTCOMES, CheckRequest, Decision, Outcome
from extauth.parts import Part
from extauth.tracing.context import TraceContext

_NANOSECONDS = 1_000
_KINDS = {"store": Span.SPAN_KIND_CLIENT}
# RFC 9110 and 5789: any other method is named `_OTHER`, as the conventions want it.
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)


class Checked(NamedTuple):
    """A check that was answered, and what it waited for; times in microseconds since 1970."""

    context: TraceContext
    request: CheckRequest
    decision: Decision
    began_us: int
    ended_us: int
    parts: Sequence[Part]


def spans_of(checked: Checked) -> list[Span]:
    """Return the span of a check, under the span that asked, and one below it for each part."""
    decision, context = checked.decision, checked.context
    whole = Part("check", checked.began_us, checked.ended_us)
    span = _span(context.trace_id, context.span_id, whole)
    span.kind = Span.SPAN_KIND_SERVER
    span.attributes.extend(_attributes(checked.request, decision))
    if OUTCOMES[decision.code] is Outcome.UNAVAILABLE:
        span.status.code = Status.STATUS_CODE_ERROR
        span.attributes.append(_text("error.type", decision.code.value))
    spans = [span]
    for part in checked.parts:
        below = _span(context.trace_id, span.span_id, part)
        below.kind = _KINDS.get(part.name, Span.SPAN_KIND_INTERNAL)
        spans.append(below)
    return spans


def _span(trace_id: bytes, parent: bytes, part: Part) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=secrets.token_bytes(8),
        parent_span_id=parent,
        name=f"extauth.{part.name}",
        start_time_unix_nano=part.began_us * _NANOSECONDS,
        # The wall clock may have gone back meanwhile.
        end_time_unix_nano=max(part.began_us, part.ended_us) * _NANOSECONDS,
    )


def _attributes(request: CheckRequest, decision: Decision) -> list[KeyValue]:
    method, key = request.target.method, decision.key
    texts = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "http.route": decision.route,
        "extauth.dialect": request.dialect,
        "extauth.outcome": OUTCOMES[decision.code].value,
        "extauth.code": decision.code.value,
        "extauth.key_id": decision.key_id,
        "extauth.tier": "" if key is None else key.tier,
        "extauth.reason": decision.reason,
        "extauth.degraded": decision.degraded,
    }
    found = [_text(name, value) for name, value in texts.items() if value]
    if decision.violated:
        values = ArrayValue(values=[AnyValue(string_value=name) for name in decision.violated])
        found.append(KeyValue(key="extauth.violated", value=AnyValue(array_value=values)))
    return found


def _text(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))
