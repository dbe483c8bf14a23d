"""Envoy's ext_authz with an HTTP service and `path_prefix: /envoy`.

The check has the client's method, Host, path and query, the latter behind the prefix. Envoy sends every
status below 500 to the client as it is, with the body (Envoy documentation, "External Authorization", HTTP
service).
"""

from __future__ import annotations

from collections.abc import Mapping

from extauth.dialects.base import Answer, RequestHead
from extauth.dialects.translator import Translator
from extauth.keys.token import looks_like_key
from extauth.model import CheckRequest, Code, Decision

# Looking a member up in its enumeration costs more than comparing it.
_ALLOWED = Code.ALLOWED


class EnvoyDialect(Translator):
    """See the module."""

    name = "envoy"
    prefix = b"/envoy"
    target_place = (b" /envoy", b" HTTP/1.1\r")

    def parse(self, head: RequestHead) -> CheckRequest:
        """Read the original request off the check's own request line."""
        return self._read("envoy", head.method, head.target[6:], head.headers)

    def render(self, request: CheckRequest, decision: Decision) -> Answer:
        """Answer with the true status.

        On 200 Envoy takes the key out of the request before the upstream sees it.
        """
        if decision.code is not _ALLOWED:
            return self._denied(decision, request.request_id)
        head = self._allowed(decision)
        places = request.credential_headers
        if places and (decision.whose is not None or _is_ours(request)):
            head += _REMOVALS[places]
        return tuple.__new__(Answer, (200, head, b""))


def _is_ours(request: CheckRequest) -> bool:
    """Tell whether a credential that nobody looked at is an API key.

    On an open route it may be a token meant for the upstream.
    """
    return request.credential is not None and looks_like_key(request.credential.decode("latin-1"))


def _removal(names: tuple[str, ...]) -> bytes:
    # Envoy removes the headers that this answer header names (ext_authz HTTP service,
    # `x-envoy-auth-headers-to-remove`).
    return f"x-envoy-auth-headers-to-remove: {','.join(names)}\r\n".encode("ascii")


_REMOVALS: Mapping[tuple[str, ...], bytes] = {
    names: _removal(names) for names in (("authorization",), ("x-api-key",), ("authorization", "x-api-key"))
}
