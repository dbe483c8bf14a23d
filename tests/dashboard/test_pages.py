"""The pages themselves: the shell, the files that it needs, and the headers of every answer."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
from starlette.requests import Request
from starlette.responses import Response

from extauth.dashboard.pages import Pages
from extauth.settings.headers import SECURITY_HEADERS
from tests.dashboard.visit import API, Site, problem, with_site

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def assert_guarded(answer: httpx.Response) -> None:
    """Hold that an answer has all headers that keep browsers from what they should not do."""
    headers = answer.headers
    said = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert said == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["permissions-policy"]
    assert "cache-control" in headers
    assert "server" not in headers


def test_every_answer_has_the_headers(tmp_path: Path) -> None:
    """Pages, files, data, refusals, redirections, faults, and what is not there."""

    async def scenario(site: Site) -> None:
        browser, nobody = await site.operator(), await site.browser()
        paths = [re.sub(r"\{[^}]*\}", "x", path) for path in site.paths() if not path.endswith("/events")]
        paths += ["/dashboard/static/%2e%2e/%2e%2e/secret", "/dashboard/%2e%2e/x", f"{API}/admin/keys/x/y/z"]
        for path in paths:
            for visitor in (browser, nobody):
                for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE"):
                    answer = await visitor.client.request(method, path)
                    assert_guarded(answer)
                    data = answer.headers.get("content-type", "").startswith("application/")
                    assert not data or answer.headers["cache-control"] == "no-store", path

        async def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError("planted")

        site.world.app.parts.management.store.claimed = fail  # type: ignore[method-assign]  # a fault
        fault = await browser.ask("GET", "/session")
        problem(fault, 500, "internal_error")
        assert_guarded(fault)

    with_site(tmp_path, scenario)


def test_other_answers_of_the_listener_are_as_they_were(tmp_path: Path) -> None:
    """What scrapes metrics gets the headers of all answers, not those of pages."""

    async def scenario(site: Site) -> None:
        answer = await (await site.browser()).client.get("/readyz")
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == SECURITY_HEADERS["Content-Security-Policy"]

    with_site(tmp_path, scenario)


def test_every_page_is_the_shell(tmp_path: Path) -> None:
    """Which page it is, its script finds out; nothing is written into it that its policy would forbid."""

    async def scenario(site: Site) -> None:
        client = (await site.browser()).client
        front = await client.get("/dashboard/")
        assert front.headers["content-type"] == "text/html; charset=utf-8"
        for path in ("keys", "keys/AAAAbbbb0001", "users/a%2Fb", "me/usage", "nowhere"):
            assert (await client.get(f"/dashboard/{path}")).content == front.content
        problem(await client.get(f"{API}/nothing"), 404, "not_found")
        moved = await client.get("/dashboard")
        assert (moved.status_code, moved.headers["location"]) == (308, "/dashboard/")
        assert (
            re.findall(rb"<script(?![^>]*\bsrc=)|<style|\bon[a-z]+=|\bstyle=|javascript:", front.content)
            == []
        )
        linked = re.findall(rb'(?:src|href)="([^"]+)"', front.content)
        assert linked
        for path in linked:
            assert path.startswith(b"/dashboard/static/")
            answer = await client.get(path.decode())
            assert (answer.status_code, answer.headers["cache-control"]) == (
                200,
                "public, max-age=31536000, immutable",
            )

    with_site(tmp_path, scenario)


def asked(pages: Pages, path: str, **headers: str) -> Response:
    """Return the answer with a file."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path_params": {"path": path}, "headers": lines}
    return asyncio.run(pages.static(Request(scope)))


def version_of(pages: Pages) -> str:
    """Return the version that the shell names."""
    scope = {"type": "http", "method": "GET", "path_params": {"path": ""}, "headers": []}
    (version,) = re.findall(
        rb"/dashboard/static/([^/]+)/app.js", bytes(asyncio.run(pages.shell(Request(scope))).body)
    )
    return str(version.decode())


def test_files_are_kept_for_good_by_their_version_only(tmp_path: Path) -> None:
    """By another one, or none, the newest is answered, and must be asked for again."""
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text('<script src="/dashboard/static/app.js"></script>')
    (tmp_path / "app.js").write_text("1")
    (tmp_path / "js" / "part.js").write_text("2")
    before = Pages(tmp_path)
    (tmp_path / "js" / "part.js").write_text("3")
    now = Pages(tmp_path)
    old, new = version_of(before), version_of(now)
    assert old != new
    for path, caching in (
        (f"{new}/js/part.js", "public, max-age=31536000, immutable"),
        (f"{old}/js/part.js", "no-cache"),
        ("js/part.js", "no-cache"),
    ):
        answer = asked(now, path)
        assert (answer.status_code, answer.body, answer.headers["cache-control"]) == (200, b"3", caching)
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        same = asked(now, path, if_none_match=f'"other", W/{answer.headers["etag"]}')
        assert (same.status_code, same.body, same.headers["cache-control"]) == (304, b"", caching)
    for path in ("", "x", "js", "../index.html", f"{new}", f"{new}/", f"{new}/x.js", "a/app.js"):
        assert asked(now, path).status_code == 404, path
