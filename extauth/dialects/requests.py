"""What the dialects read alike.

The target, the credential, the client's address, the request id. Pure translation, no rules.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from urllib.parse import parse_qsl

from extauth.bounded import BoundedCache, Memo
from extauth.dialects.base import Variable
from extauth.model import LONGEST_REMEMBERED, CheckRequest, Code, Target

QUERY_PARAMETER = "api_key"
# A longer one comes from a careless proxy; it would travel on in an answer header.
LONGEST_REQUEST_ID = 128
# How many targets are remembered as one object each; paths with ids in them come and go.
_REMEMBERED = 16_384

# What every HTTP parser takes for a target, whatever it makes of it afterwards (RFC 3986 appendix A, without
# the fragment): with these a target can't end early, nor take in what follows.
_PLAIN_TARGET = re.compile(rb"/[A-Za-z0-9\-._~:/?@!$&'()*+,;=%]*").fullmatch

# The credential, the names of the headers it stood in, and whether there were two.
_Credential = tuple[bytes | None, tuple[str, ...], Code | None]
_NONE: _Credential = (None, (), None)
_IN_BEARER = ("authorization",)
_IN_API_KEY = ("x-api-key",)
_IN_BOTH = ("authorization", "x-api-key")
_TWO: _Credential = (None, _IN_BOTH, Code.AMBIGUOUS_CREDENTIALS)


class RequestReader:
    """Builds check requests.

    `trusted_hops` is how many proxies add to X-Forwarded-For in front of this service.
    """

    def __init__(self, *, trusted_hops: int, query_parameter: bool) -> None:
        self._trusted_hops = trusted_hops
        self._query_parameter = query_parameter
        self._targets: Memo[tuple[str, str, bytes], Target] = Memo(
            _decode_target,
            _REMEMBERED,
            worth_keeping=lambda parts: sum(map(len, parts)) <= LONGEST_REMEMBERED,
        )
        self._plain_targets: BoundedCache[tuple[str, str, bytes], Target] = BoundedCache(_REMEMBERED)

    def read(
        self,
        dialect: str,
        method: bytes,
        target: bytes,
        headers: Mapping[bytes, bytes],
        ambiguous: Code | None = None,
        *,
        host_line: bytes = b"host",
    ) -> CheckRequest:
        """Return the check request for the original method and raw target.

        Everything else is read from the headers, the original host from `host_line`.
        """
        get = headers.get
        path, _, query = target.partition(b"?")
        authorization = get(b"authorization")
        if authorization is not None and authorization.startswith(b"Bearer ") and b"x-api-key" not in headers:
            # The commonest place by far; a comma joins two lines into one, and keys have none in them.
            found = _TWO if b"," in authorization else (authorization[7:].strip(), _IN_BEARER, None)
        else:
            found = _find_credential(authorization, get(b"x-api-key"))
        if query and self._query_parameter:
            found = _with_query(found, query)
        credential, places, two = found
        address = get(b"x-extauth-client-ip")
        request_id = get(b"x-request-id")
        fields = (
            dialect,
            self._targets[method.decode("latin-1"), get(host_line, b"").decode("latin-1"), path],
            credential,
            places,
            self._forwarded_for(headers) if address is None else address.decode("latin-1"),
            _new_request_id()
            if not request_id or len(request_id) > LONGEST_REQUEST_ID
            else request_id.decode("latin-1"),
            ambiguous or two,
            get(b"traceparent", b""),
        )
        # Once a check: the named tuple's own constructor takes twice as long.
        return tuple.__new__(CheckRequest, fields)

    def read_again(self, like: CheckRequest, values: Variable) -> CheckRequest | None:
        """Return what `read` would where only these values differ; None where it takes a closer look.

        `like` lacks the credential and the id, and the address where that is among the values.
        """
        dialect, like_target, _, places, like_ip, _, ambiguous, _ = like
        target, credential, client_ip, request_id, trace = values
        path, _, query = target.partition(b"?")
        if len(request_id) > LONGEST_REQUEST_ID or (query and self._query_parameter):
            return None
        parts = like_target.method, like_target.host, path
        known = self._plain_targets.get(parts)
        if known is None or query:
            if not _PLAIN_TARGET(target):
                return None
            known = self._targets[parts]
            if known.short:
                self._plain_targets.keep(parts, known)
        fields = (
            dialect,
            known,
            credential or None,
            places,
            client_ip.decode("latin-1") or like_ip,
            request_id.decode("latin-1"),
            ambiguous,
            trace,
        )
        return tuple.__new__(CheckRequest, fields)

    def _forwarded_for(self, headers: Mapping[bytes, bytes]) -> str:
        # Each proxy appends who spoke to it, so the last entries are the trusted ones; what a client invents
        # stands before.
        hops = headers.get(b"x-forwarded-for", b"").split(b",")
        return hops[-min(self._trusted_hops, len(hops))].strip().decode("latin-1")


def _decode_target(parts: tuple[str, str, bytes]) -> Target:
    method, host, path = parts
    return Target(method, host, path.decode("latin-1"))


def _find_credential(authorization: bytes | None, api_key: bytes | None) -> _Credential:
    bearer = _bearer(authorization) if authorization else None
    if not api_key:
        # An empty X-API-Key is how some proxies pass on an absent one.
        if bearer is None:
            return _NONE
        # A comma joins two lines into one; keys have none in them.
        return _TWO if b"," in bearer else (bearer, _IN_BEARER, None)
    if b"," in api_key or bearer not in {None, api_key}:
        return _TWO
    return (api_key, _IN_API_KEY if bearer is None else _IN_BOTH, None)


def _bearer(authorization: bytes) -> bytes | None:
    """Return the credentials of the Bearer scheme in any case (RFC 6750 section 2.1), else None."""
    # Any white space ends the scheme, and a header may hold nothing else.
    scheme, credentials = (*authorization.split(None, 1), b"", b"")[:2]
    if scheme.lower() == b"bearer":
        return credentials.strip()
    # Two Authorization lines of different schemes, joined by a proxy: the comma makes it two credentials.
    return authorization if b"," in authorization and b"bearer " in authorization.lower() else None


def _with_query(found: _Credential, query: bytes) -> _Credential:
    credential, places, two = found
    # An empty parameter is none, as an empty header is: parse_qsl leaves blank values out.
    keys = {value.encode() for name, value in parse_qsl(query.decode("latin-1")) if name == QUERY_PARAMETER}
    if not keys:
        return found
    if credential is not None:
        keys.add(credential)
    return (keys.pop(), places, None) if len(keys) == 1 and two is None else _TWO


def _new_request_id() -> str:
    return str(uuid.uuid4())
