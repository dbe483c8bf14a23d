"""Answers with the pages on the admin listener, below `/docs/`. Everybody may read them, without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from extauth.admin.problems import AdminCode, Problem, ProblemResponse
from extauth.docs.site import Page, Site, style_name

_SECURITY: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
# The settings may change at any time, so whoever keeps a page asks whether it still holds.
_REVALIDATED = "no-cache"
_FOR_EVER = "public, max-age=31536000, immutable"


class ConsumerDocs:
    """Serves the pages of the settings in force."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def go_by(self, site: Site) -> None:
        """Serve these pages from now on."""
        self._site = site

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes. Redirects are relative: a proxy may serve the pages below another path."""
        return [
            Route("/docs", self._folder),
            Route("/docs/problems", self._folder),
            Route("/docs/{path:path}", self._page),
        ]

    async def _folder(self, request: Request) -> Response:
        """Send whoever forgot the slash at its end to the folder."""
        if not self._site.enabled:
            return ProblemResponse(Problem(code=AdminCode.NOT_FOUND))
        return RedirectResponse(f"{request.url.path.rpartition('/')[2]}/", 308, _SECURITY)

    async def _page(self, request: Request) -> Response:
        site, path = self._site, request.path_params["path"]
        if not site.enabled:
            return ProblemResponse(Problem(code=AdminCode.NOT_FOUND))
        # In a thread: checks may be answered by this one.
        page = site.made(path)
        if page is None:
            page = await asyncio.to_thread(site.make, path)
        return _answer(request, page, _FOR_EVER if path == style_name() else _REVALIDATED)


def _answer(request: Request, page: Page, caching: str) -> Response:
    headers = {"etag": page.tag, "cache-control": caching, "content-type": page.media_type, **_SECURITY}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if page.status == HTTPStatus.OK and not known.isdisjoint({page.tag, "*"}):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(page.body, page.status, headers)
