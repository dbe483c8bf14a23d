"""What a proxy says in `traceparent`: in which trace it asks, and whether that is recorded.

W3C Trace Context, section 3.2. A value that is none is as good as no header at all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Later versions may have more behind the flags, but version 00 has not, and there is no version ff.
_HEADER = re.compile(
    rb"(?:00|(?!00|ff)(?P<later>[0-9a-f]{2}))-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?(later)(?:-.*)?)"
)
_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)
_SAMPLED = 1


class TraceContext(NamedTuple):
    """The trace, the span in it that asks, and whether it is recorded."""

    trace_id: bytes
    span_id: bytes
    is_sampled: bool


def read_context(header: bytes) -> TraceContext | None:
    """Return what the header says, None where that is nothing."""
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    trace_id, span_id = bytes.fromhex(match["trace"].decode()), bytes.fromhex(match["span"].decode())
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, bool(int(match["flags"], 16) & _SAMPLED))
