"""What each proxy can't do, in the words of its README: tests hold it to what it does instead."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Lack(enum.Enum):
    """Something that some proxies can't do; the value is the first cell of its row in their READMEs."""

    OWN_503 = "pass on the body of a 503 of extauth (store unreachable, overload)"
    HEAD_OF_REFUSAL = "tell a refused `HEAD` the `Content-Type` and `Content-Length` that `GET` has"
    KEPT_UPLOAD = "keep the connection of a client whose upload is refused"
    EARLY_REFUSAL = "refuse an upload in chunks before it has come"
    OLD_HTTP = "take requests of HTTP/1.0"
    UNDERSCORES = "take a request with `_` in the name of a header"
    FAMILIES = "remove headers by the beginning of their names"
    OTHER_HOST = "take a request line with another host than `Host` names"
    PROGRESS = "tell that a request still runs"
    HEADERS_ALONE = "add security headers to what it answers before it knows what is asked for"
    UPSTREAMS_OWN = "leave security headers of the upstream as they are"
    EVERY_END = "tell of the end where the upstream gives no answer on a client's kept connection"


LACKS: Mapping[str, frozenset[Lack]] = {
    "envoy": frozenset(
        {Lack.OWN_503, Lack.HEAD_OF_REFUSAL, Lack.KEPT_UPLOAD, Lack.OLD_HTTP, Lack.UNDERSCORES}
    ),
    "nginx": frozenset({Lack.FAMILIES, Lack.PROGRESS}),
    "traefik": frozenset({Lack.KEPT_UPLOAD, Lack.PROGRESS, Lack.HEADERS_ALONE, Lack.UPSTREAMS_OWN}),
    "caddy": frozenset({Lack.KEPT_UPLOAD, Lack.EARLY_REFUSAL, Lack.PROGRESS, Lack.HEADERS_ALONE}),
    "haproxy": frozenset(
        {Lack.KEPT_UPLOAD, Lack.OTHER_HOST, Lack.PROGRESS, Lack.EVERY_END, Lack.HEADERS_ALONE}
    ),
}
