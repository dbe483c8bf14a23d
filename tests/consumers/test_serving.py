"""The pages on the admin listener: who gets them, with which headers, and that they follow a reload."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from extauth.admin.app import admin_app
from extauth.docs.site import style_name
from tests.reloading import Changing, changing

Ask = Callable[..., Awaitable[httpx.Response]]


def asking(it: Changing) -> Ask:
    """Return what asks the admin listener of a running server."""
    app = it.world.app
    admin = admin_app(
        health=app.health, registry=CollectorRegistry(), counts=app.counts, routes=app.docs.routes()
    )

    async def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(admin, raise_app_exceptions=False)
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            return await client.request(method, path, headers=lines)

    return ask


def served(folder: Path, scenario: Callable[[Ask, Changing], Awaitable[None]], **sections: Any) -> None:
    """Run a scenario against a server with these sections of the settings."""
    changing(folder, lambda it: scenario(asking(it), it), **sections)


@pytest.mark.parametrize(
    "path", ["/docs/", "/docs/problems/rate_limited", "/docs/nowhere", "/docs", "/docs/client.py"]
)
def test_whatever_is_answered_is_closed_to_scripts_and_frames(tmp_path: Path, path: str) -> None:
    """Pages, redirects and what is not there; nobody needs a key."""

    async def scenario(ask: Ask, _: Changing) -> None:
        headers = (await ask(path)).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "style-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"

    served(tmp_path, scenario)


def test_kinds_of_content_and_what_may_be_kept(tmp_path: Path) -> None:
    """Pages are asked for again each time, the style sheet never: another one has another name."""

    async def scenario(ask: Ask, _: Changing) -> None:
        page, style, program = [await ask(f"/docs/{path}") for path in ("", style_name(), "client.py")]
        assert [answer.status_code for answer in (page, style, program)] == [200] * 3
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == program.headers["cache-control"] == "no-cache"
        assert style.headers["content-type"] == "text/css; charset=utf-8"
        assert style.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert program.headers["content-type"] == "text/plain; charset=utf-8"
        assert program.text.startswith('"""A client')

    served(tmp_path, scenario)


def test_what_is_known_already_is_not_sent_again(tmp_path: Path) -> None:
    """304 for any of the tags that the reader has; the whole page for others; nothing for HEAD."""

    async def scenario(ask: Ask, _: Changing) -> None:
        page = await ask("/docs/limits")
        tag = page.headers["etag"]
        for known in (tag, f'"other", W/{tag}', "*"):
            again = await ask("/docs/limits", if_none_match=known)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await ask("/docs/limits", if_none_match='"other"')).content == page.content
        assert (await ask("/docs/nowhere", if_none_match="*")).status_code == 404
        head = await ask("/docs/limits", "HEAD")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)

    served(tmp_path, scenario)


@pytest.mark.parametrize(("path", "target"), [("/docs", "docs/"), ("/docs/problems", "problems/")])
def test_a_forgotten_slash_leads_on(tmp_path: Path, path: str, target: str) -> None:
    """By a relative address, which is right below another prefix too."""

    async def scenario(ask: Ask, _: Changing) -> None:
        answer = await ask(path)
        assert (answer.status_code, answer.headers["location"]) == (308, target)

    served(tmp_path, scenario)


def test_nothing_can_be_written(tmp_path: Path) -> None:
    """The answer says what can be done."""

    async def scenario(ask: Ask, _: Changing) -> None:
        answer = await ask("/docs/limits", "POST")
        assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})

    served(tmp_path, scenario)


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/limits", "/docs/problems", "/docs/client.py"])
def test_switched_off_there_is_nothing(tmp_path: Path, path: str) -> None:
    """As if nobody had ever written them."""

    async def scenario(ask: Ask, _: Changing) -> None:
        answer = await ask(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    served(tmp_path, scenario, docs={"enabled": False})


def test_pages_follow_a_reload(tmp_path: Path) -> None:
    """From the next request on, with another validator; also when they are switched off."""

    async def scenario(ask: Ask, it: Changing) -> None:
        before = await ask("/docs/limits")
        assert "by 100 every second" in before.text
        it.change(tiers={"default": {"rates": ["7/minute"]}}, docs={"title": "Changed"})
        after = await ask("/docs/limits", if_none_match=before.headers["etag"])
        assert after.status_code == 200
        assert "7 requests every minute" in after.text
        assert "Changed" in after.text
        it.change(docs={"enabled": False})
        assert (await ask("/docs/limits")).status_code == 404

    served(tmp_path, scenario)


def test_a_page_is_made_once(tmp_path: Path) -> None:
    """Readers share it, and those who look for what isn't there share one too."""

    async def scenario(ask: Ask, it: Changing) -> None:
        pages = await asyncio.gather(*(ask("/docs/headers") for _ in range(5)))
        assert len({page.content for page in pages}) == 1
        site = it.world.app.docs._site
        assert site.made("headers") is site.made("headers")
        await asyncio.gather(*(ask(f"/docs/nowhere-{number}") for number in range(50)))
        assert len(site._made) == 2

    served(tmp_path, scenario)
