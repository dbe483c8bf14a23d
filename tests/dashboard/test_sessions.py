"""Signing in and out: whose key it is, how long that holds, and what ends it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from extauth.configured import configure
from extauth.keys.token import parse_key
from extauth.reload import put_in_force
from tests.dashboard.visit import Browser, Site, problem, with_site
from tests.keys import mint
from tests.world import settings_in


async def is_signed_in(browser: Browser) -> bool:
    """Tell whether the session goes on, without using it."""
    answer = await browser.ask("GET", "/session")
    if answer.status_code != 200:
        problem(answer, 401, "no_session")
    return answer.status_code == 200


def attributes(answer: httpx.Response) -> dict[str, str]:
    """Return what is said about the one cookie that is set, its name as `name`."""
    (line,) = answer.headers.get_list("set-cookie")
    pair, *rest = line.split("; ")
    said = [part.partition("=") for part in rest]
    return {"name": pair.partition("=")[0], **{name: value for name, _, value in said}}


def test_a_key_opens_a_session(tmp_path: Path) -> None:
    """Which says who that is and what they may do, and never holds the key."""

    async def scenario(site: Site) -> None:
        browser = await site.browser()
        key = await site.key("alice", "orders:*", tier="free")
        problem(await browser.ask("GET", "/session"), 401, "no_session")
        session = await browser.sign_in(f" {key}\n")
        assert session == await browser.get("/session")
        assert (session["user_id"], session["key_id"]) == ("alice", parse_key(key).key_id)
        assert (session["role"], session["tiers"], session["scopes"]) == ("consumer", ["free"], ["orders:*"])
        assert session["may"] == {"create": True, "rotate": True, "revoke": True}
        assert (session["idle_seconds"], session["ends_at"]) == (900, "2026-03-02T00:00:00Z")
        assert parse_key(key).secret not in browser.cookie
        assert parse_key(key).secret not in str(session)
        assert (await site.operator()).csrf != session["csrf"]

    with_site(tmp_path, scenario, tiers={"free": {"rates": ["10/second"]}})


def test_the_cookie_is_for_this_dashboard_and_no_script(tmp_path: Path) -> None:
    """Over plain HTTP bound to the path, over TLS to the host and marked Secure."""

    async def scenario(site: Site) -> None:
        key = await site.key()
        plain = await (await site.browser()).ask("POST", "/session", json={"key": key})
        same = {"HttpOnly": "", "SameSite": "Strict", "Max-Age": "900"}
        assert attributes(plain) == {"name": "extauth_session", "Path": "/dashboard/", **same}
        over_tls = await site.browser(**{"x-forwarded-proto": "https"})
        secure = await over_tls.ask("POST", "/session", json={"key": key})
        expected = {"name": "__Host-extauth_session", "Path": "/", "Secure": "", **same}
        assert attributes(secure) == expected

    with_site(tmp_path, scenario, dashboard={"behind_proxy": True})


def test_nobody_is_believed_to_speak_tls_without_a_proxy(tmp_path: Path) -> None:
    """The header is anybody's word then; a cookie that is not the one of the kind is none."""

    async def scenario(site: Site) -> None:
        browser = await site.browser(**{"x-forwarded-proto": "https"})
        answer = await browser.ask("POST", "/session", json={"key": await site.key()})
        assert attributes(answer)["name"] == "extauth_session"
        value = browser.cookie
        other = await (await site.browser()).ask(
            "GET", "/session", headers={"cookie": f"__Host-extauth_session={value}"}
        )
        problem(other, 401, "no_session")

    with_site(tmp_path, scenario)


def test_a_session_that_is_not_used_ends(tmp_path: Path) -> None:
    """After the idle time-out, counted from the last use; looking whether it goes on is no use."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        for _ in range(4):
            site.clock.advance(seconds=14 * 60)
            await browser.get("/me/keys")
        site.clock.advance(seconds=14 * 60)
        assert await is_signed_in(browser)
        site.clock.advance(seconds=60)
        assert not await is_signed_in(browser)
        problem(await browser.ask("GET", "/me/keys"), 401, "no_session")

    with_site(tmp_path, scenario)


def test_not_every_answer_has_a_new_cookie(tmp_path: Path) -> None:
    """Only what is worth noting: a twentieth of the time-out."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        site.clock.advance(seconds=44)
        assert "set-cookie" not in (await browser.ask("GET", "/me/keys")).headers
        site.clock.advance(seconds=1)
        assert "set-cookie" in (await browser.ask("GET", "/me/keys")).headers
        assert "set-cookie" not in (await browser.ask("GET", "/me/keys")).headers

    with_site(tmp_path, scenario)


def test_a_session_ends_however_much_it_is_used(tmp_path: Path) -> None:
    """After its lifetime."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        for _ in range(11):
            site.clock.advance(seconds=50 * 60)
            await browser.get("/me/keys")
        site.clock.advance(seconds=50 * 60 - 1)
        assert await is_signed_in(browser)
        site.clock.advance(seconds=1)
        assert not await is_signed_in(browser)

    with_site(tmp_path, scenario, dashboard={"idle_timeout": "1h", "session_lifetime": "10h"})


def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(tmp_path: Path) -> None:
    """Also for one that somebody kept; other sessions of the key go on."""

    async def scenario(site: Site) -> None:
        key = await site.key()
        browser, thief, other = [await site.browser() for _ in range(3)]
        for each in (browser, other):
            await each.sign_in(key)
        thief.client.cookies.update(browser.client.cookies)
        assert await is_signed_in(thief)
        gone = await browser.ask("DELETE", "/session")
        assert (gone.status_code, gone.content, attributes(gone)["Max-Age"]) == (204, b"", "0")
        assert list(browser.client.cookies.jar) == []
        assert not await is_signed_in(thief)
        site.clock.advance(seconds=10)
        assert not await is_signed_in(thief)
        assert await is_signed_in(other)

    with_site(tmp_path, scenario)


@pytest.mark.parametrize("end", ["revoke", "disable"])
def test_a_session_ends_with_its_key(tmp_path: Path, end: str) -> None:
    """From the next request on."""

    async def scenario(site: Site) -> None:
        browser, operator = await site.consumer(), await site.operator()
        key_id = (await browser.get("/session"))["key_id"]
        assert (await operator.ask("POST", f"/admin/keys/{key_id}/{end}")).status_code == 200
        assert not await is_signed_in(browser)

    with_site(tmp_path, scenario)


def test_a_session_ends_when_its_key_expires(tmp_path: Path) -> None:
    """To the second."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer(lifetime=timedelta(minutes=10))
        site.clock.advance(seconds=599)
        assert await is_signed_in(browser)
        site.clock.advance(seconds=1)
        assert not await is_signed_in(browser)

    with_site(tmp_path, scenario)


@pytest.mark.parametrize("subject", ["user:alice", "key:", "127.0.0.1"])
def test_a_ban_ends_sessions(tmp_path: Path, subject: str) -> None:
    """Of a user, a key or an address, ordered by an operator; and is told to who signs in."""

    async def scenario(site: Site) -> None:
        browser, operator = await site.consumer(), await site.operator()
        key_id = (await browser.get("/session"))["key_id"]
        whom = f"key:{key_id}" if subject == "key:" else subject
        body = {"subject": whom, "lasts": "1h"}
        assert (await operator.ask("POST", "/admin/bans", json=body)).status_code == 200
        for ban in (await site.world.management.store.bans()).bans:  # type: ignore[union-attr]  # there is one
            site.world.app.parts.abuse.in_force[ban.subject] = ban
        assert not await is_signed_in(browser)

    with_site(tmp_path, scenario)


def test_every_key_that_is_no_good_is_answered_alike(tmp_path: Path) -> None:
    """Unknown, wrong, revoked or no key at all: nobody can probe for keys here either."""

    async def scenario(site: Site) -> None:
        made = await site.world.create_key("alice")
        await site.world.revoke(made.record)
        good = await site.key("bob")
        wrong = [
            made.text,
            mint()[0],
            good[:-1] + ("a" if good[-1] != "a" else "b"),
            "nonsense",
            "é",
            "x" * 999,
        ]
        browser = await site.browser()
        bodies = set()
        for text in wrong:
            answer = await browser.ask("POST", "/session", json={"key": text})
            problem(answer, 401, "invalid_key")
            bodies.add(answer.content)
            assert "set-cookie" not in answer.headers
        assert len(bodies) == 1
        assert len(await site.events("dashboard_login_failed")) == len(wrong)
        assert sum(site.world.app.parts.abuse.failures.values()) == len(wrong)

    with_site(tmp_path, scenario)


def test_who_fails_too_often_is_banned(tmp_path: Path) -> None:
    """429 with the time to wait, also for a good key that was not seen here before.

    The check knows of it too, where a key that was issued here is looked up all the same.
    """

    async def scenario(site: Site) -> None:
        browser, good = await site.browser(), await site.key()
        for _ in range(3):
            problem(await browser.ask("POST", "/session", json={"key": mint()[0]}), 401, "invalid_key")
        refused = await browser.ask("POST", "/session", json={"key": good})
        problem(refused, 429, "cooling_down")
        assert refused.headers["retry-after"] == "60"
        address = {"x-extauth-client-ip": "127.0.0.1"}
        assert (await site.world.ask(key=mint()[0], headers=address)).status == 429
        assert (await site.world.ask(key=good, headers=address)).status == 200
        site.clock.advance(seconds=60)
        await browser.sign_in(good)

    abuse = {"allow": [], "per_address": {"failures": 3}}
    with_site(tmp_path, scenario, abuse=abuse)


def test_behind_a_proxy_the_client_is_banned_and_not_the_proxy(tmp_path: Path) -> None:
    """By the address that the trusted hop has written; one that a client invents stands before it."""

    async def scenario(site: Site) -> None:
        good = await site.key()
        bad = await site.browser(**{"x-forwarded-for": "198.51.100.1, 192.0.2.66"})
        for _ in range(3):
            problem(await bad.ask("POST", "/session", json={"key": mint()[0]}), 401, "invalid_key")
        problem(await bad.ask("POST", "/session", json={"key": good}), 429, "cooling_down")
        for others in ("192.0.2.66, 192.0.2.9", "no address", ""):
            await (await site.browser(**{"x-forwarded-for": others})).sign_in(good)
        failed = await site.events("dashboard_login_failed")
        assert {line["client_ip"] for line in failed} == {"192.0.2.66"}

    abuse = {"allow": [], "per_address": {"failures": 3}}
    with_site(tmp_path, scenario, abuse=abuse, dashboard={"behind_proxy": True})


def test_nobody_signs_in_with_the_wrong_kind_of_request(tmp_path: Path) -> None:
    """Anything but JSON, a body that is none, fields that are not known, another site."""

    async def scenario(site: Site) -> None:
        browser, key = await site.browser(), await site.key()
        form = await browser.ask("POST", "/session", data={"key": key})
        problem(form, 415, "unsupported_media_type")
        for wrong in ({}, {"key": 1}, {"key": key, "more": 1}, {"key": None}, {"key": "x" * 2_000}):
            problem(await browser.ask("POST", "/session", json=wrong), 422, "invalid_input")
        for elsewhere in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
            answer = await browser.ask("POST", "/session", json={"key": key}, headers=elsewhere)
            problem(answer, 403, "cross_site")
            assert "set-cookie" not in answer.headers

    with_site(tmp_path, scenario)


def test_two_cookies_are_none(tmp_path: Path) -> None:
    """One was set by somebody else, and nobody can tell which."""

    async def scenario(site: Site) -> None:
        mine, theirs = await site.consumer(), await site.consumer("mallory")
        both = f"extauth_session={mine.cookie}; extauth_session={theirs.cookie}"
        answer = await (await site.browser()).ask("GET", "/session", headers={"cookie": both})
        problem(answer, 401, "no_session")

    with_site(tmp_path, scenario)


def test_a_dashboard_can_be_switched_off_while_it_runs(tmp_path: Path) -> None:
    """Then there is nothing there, for anybody; other settings hold from the next request on."""

    async def scenario(site: Site) -> None:
        app, browser = site.world.app, await site.consumer()

        def go_by(**sections: Any) -> None:
            put_in_force(app, configure(settings_in(tmp_path, **sections), app.parts))

        go_by(dashboard={"enabled": False})
        for path in ("/", "/api/session", "/static/index.html", ""):
            problem(await browser.client.get(f"/dashboard{path}"), 404, "not_found")
        go_by(keys={"environments": ["moon"], "default_environment": "moon"})
        made = await browser.ask("POST", "/me/keys", json={"name": "x"})
        assert made.json()["record"]["environment"] == "moon"
        go_by(dashboard={"self_service": {"create": False}, "idle_timeout": "5m"})
        problem(await browser.ask("POST", "/me/keys", json={"name": "x"}), 403, "self_service_off")
        site.clock.advance(seconds=300)
        assert not await is_signed_in(browser)

    with_site(tmp_path, scenario)
