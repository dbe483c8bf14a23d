"""Traefik's forwardAuth, Caddy's forward_auth, and their like: the original request comes in X-Forwarded-*.

They take any 2xx for an allowed request, and send every other status to the client as it is, with the body
(Traefik documentation, "ForwardAuth"; Caddy documentation, "forward_auth"). Host names this service there.
"""

from __future__ import annotations

from extauth.dialects.base import Answer, RequestHead
from extauth.dialects.translator import Translator
from extauth.model import CheckRequest, Code, Decision

_METHOD = b"x-forwarded-method"
_URI = b"x-forwarded-uri"
_HOST = b"x-forwarded-host"
_ORIGINAL = frozenset((_METHOD, _URI, _HOST))

# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED


class ForwardDialect(Translator):
    """See the module."""

    name = "forward"
    prefix = b"/forward"
    target_place = (b"\nx-forwarded-uri: ", b"\r")

    def parse(self, head: RequestHead) -> CheckRequest:
        """Read the original request from the headers that the proxy sets.

        A missing one leaves a target that is refused, or that is of no host.
        """
        headers = head.headers
        # A second line of these could only come from a client, through a proxy that adds where it should
        # replace.
        ambiguous = None if _ORIGINAL.isdisjoint(head.repeated) else Code.AMBIGUOUS_PATH
        method, target = headers.get(_METHOD, b""), headers.get(_URI, b"")
        return self._read("forward", method, target, headers, ambiguous, host_line=_HOST)

    def render(self, request: CheckRequest, decision: Decision) -> Answer:
        """Answer with the true status."""
        if decision.code is _ALLOWED:
            return tuple.__new__(Answer, (200, self._allowed(decision), b""))
        return self._denied(decision, request.request_id)
