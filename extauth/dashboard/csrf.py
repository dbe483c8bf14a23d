"""Whether a browser sent a change from the dashboard's own pages, and not another site in its name."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

SAFE_METHODS = frozenset({"GET", "HEAD"})
TOKEN_HEADER = "x-csrf-token"  # noqa: S105 - the name of a header


def is_from_elsewhere(request: Request) -> bool:
    """Tell whether the browser says that another site made the request.

    Sec-Fetch-Site and Origin can't be set by scripts. Behind a proxy that passes another Host on, an Origin
    can't be compared, and Sec-Fetch-Site alone decides; a client that sends neither is no browser.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and not _is_host(origin, request.headers.get("host", ""))


def _is_host(origin: str, host: str) -> bool:
    try:
        named = urlsplit(origin)
    except ValueError:
        return False
    return named.scheme in {"http", "https"} and named.netloc.lower() == host.lower() != ""
