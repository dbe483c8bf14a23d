"""nginx's auth_request, and whoever else speaks like it: the original request comes in X-Original-* headers.

auth_request understands 2xx, 401 and 403 and turns everything else into a 500; it never passes on a body
(nginx documentation, ngx_http_auth_request_module). So the true status and the body travel in headers, which
the shipped include turns back.
"""

from __future__ import annotations

from extauth.dialects.base import Answer, RequestHead
from extauth.dialects.translator import Translator
from extauth.model import CheckRequest, Code, Decision

_ORIGINAL_METHOD = b"x-original-method"
_ORIGINAL_URI = b"x-original-uri"
# The refusals that auth_request understands.
_PASSED_ON = frozenset((401, 403))


# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED


class NginxDialect(Translator):
    """See the module."""

    name = "nginx"
    prefix = b"/nginx"
    target_place = (b"\nx-original-uri: ", b"\r")

    def parse(self, head: RequestHead) -> CheckRequest:
        """Read the original request from the headers that nginx sets.

        A missing one leaves a target that is refused.
        """
        headers = head.headers
        # A second line of these could only come from a client, through a proxy that adds where it should
        # replace.
        repeated = _ORIGINAL_METHOD in head.repeated or _ORIGINAL_URI in head.repeated
        method, target = headers.get(_ORIGINAL_METHOD, b""), headers.get(_ORIGINAL_URI, b"")
        ambiguous = Code.AMBIGUOUS_PATH if repeated else None
        return self._read("nginx", method, target, headers, ambiguous)

    def render(self, request: CheckRequest, decision: Decision) -> Answer:
        """Answer 200, 401 or 403, with the true status in X-Extauth-Status and the body in X-Extauth-Body."""
        if decision.code is _ALLOWED:
            head = self._allowed(decision) + b"x-extauth-status: 200\r\n"
            return tuple.__new__(Answer, (200, head, b""))
        status, head, body = self._denied(decision, request.request_id)
        head += b"x-extauth-status: %d\r\nx-extauth-body: %b\r\n" % (status, body)
        return Answer(status if status in _PASSED_ON else 403, head, body)
