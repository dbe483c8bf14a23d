"""No other site can change anything in the name of somebody who is signed in."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.dashboard.visit import API, Browser, Site, problem, with_site

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
# What tells a browser's request of another site, or of nobody in particular.
FOREIGN: list[dict[str, str]] = [
    {"x-csrf-token": ""},
    {"x-csrf-token": "A" * 43},
    {"x-csrf-token": "."},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": ""},
]
FOREIGN_ORIGINS = [
    "https://evil.example",
    "null",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "ftp://{host}",
    "http://user@{host}",
    "http://{host}.evil.example",
    "//{host}",
    "http://[",
]


def filled(path: str, key_id: str) -> str:
    """Return a path of a route with something in the place of its parameters."""
    return re.sub(r"\{[^}]*\}", "user:mallory", path.replace("{key_id}", key_id))


async def records(site: Site) -> tuple[object, ...]:
    """Return all that a change would change."""
    store = site.world.management.store
    page, entries = await store.list(), await store.audit()
    return [key.version for key in page.keys], len(entries.entries), await store.bans()


def test_each_change_needs_the_token_and_the_own_pages(tmp_path: Path) -> None:
    """Whatever route there is, whoever is signed in: the table itself is walked, so none can be forgotten."""

    async def scenario(site: Site) -> None:
        browser = await site.operator()
        before = await records(site)
        refused = 0
        for path in site.paths():
            at = filled(path, browser.own_id)
            for method in CHANGING:
                if (path, method) == (f"{API}/session", "POST"):
                    continue
                for lines in FOREIGN[:4]:
                    headers = {"sec-fetch-site": "same-origin", "x-csrf-token": browser.csrf, **lines}
                    answer = await browser.client.request(method, at, headers=headers, json={})
                    if answer.status_code == 405:
                        continue
                    problem(answer, 403, "cross_site")
                    refused += 1
        assert refused >= 4 * 12
        assert await records(site) == before
        assert (await browser.get("/session"))["role"] == "operator"

    with_site(tmp_path, scenario)


def test_what_comes_from_elsewhere_is_refused(tmp_path: Path) -> None:
    """By the token or by what the browser says, each by itself."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        for lines in FOREIGN:
            problem(await _make(browser, {"sec-fetch-site": "same-origin", **lines}), 403, "cross_site")
        assert (await _make(browser, {"sec-fetch-site": "same-origin"})).status_code == 201

    with_site(tmp_path, scenario)


def test_an_origin_must_be_the_own_host(tmp_path: Path) -> None:
    """Where the browser doesn't say Sec-Fetch-Site: scheme, host and port, and nothing that only looks so."""

    async def scenario(site: Site) -> None:
        browser, host = await site.consumer(), f"127.0.0.1:{site.port}"
        for origin in FOREIGN_ORIGINS:
            problem(await _make(browser, {"origin": origin.format(host=host)}), 403, "cross_site")
        assert (await _make(browser, {"origin": f"http://{host}"})).status_code == 201
        # What no browser has sent carries nobody's cookie but its own.
        assert (await _make(browser, {})).status_code == 201

    with_site(tmp_path, scenario)


async def _make(browser: Browser, lines: dict[str, str]) -> httpx.Response:
    headers = {"x-csrf-token": browser.csrf, **lines}
    return await browser.client.post(f"{API}/me/keys", headers=headers, json={"name": "another"})


def test_the_token_of_another_session_is_none(tmp_path: Path) -> None:
    """Also of another session of the same key."""

    async def scenario(site: Site) -> None:
        key = await site.key()
        first, second = await site.browser(), await site.browser()
        for browser in (first, second):
            await browser.sign_in(key)
        answer = await first.ask(
            "POST", "/me/keys", json={"name": "x"}, headers={"x-csrf-token": second.csrf}
        )
        problem(answer, 403, "cross_site")

    with_site(tmp_path, scenario)


def test_the_token_stays_the_same_while_the_session_is_used(tmp_path: Path) -> None:
    """A page that is open goes on working when its cookie is renewed."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        for _ in range(3):
            site.clock.advance(seconds=600)
            answer = await browser.ask("POST", "/me/keys", json={"name": "x"})
            assert answer.status_code == 201
            assert "set-cookie" in answer.headers

    with_site(tmp_path, scenario)
