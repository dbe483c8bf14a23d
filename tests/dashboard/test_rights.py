"""What somebody may see and do: their own keys, and of others what their scopes allow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from extauth.admin.endpoints import ENDPOINTS
from extauth.keys.scopes import ADMIN, AUDIT_READ, BANS_READ, KEYS_READ, KEYS_WRITE, USAGE_READ
from extauth.keys.token import parse_key
from tests.dashboard.visit import API, Browser, Site, problem, with_site
from tests.world import BY

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def created(browser: Browser, **asked: Any) -> Any:
    """Make a key as a consumer does."""
    answer = await browser.ask("POST", "/me/keys", json={"name": "another", **asked})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_keys_of_others_do_not_exist_for_consumers(tmp_path: Path) -> None:
    """Each route below /me that names a key, in every method; told like a key that there never was."""

    async def scenario(site: Site) -> None:
        mallory, alice = await site.consumer("mallory"), await site.consumer("alice")
        routes = [path.removeprefix(API) for path in site.paths() if "/me/" in path and "{key_id}" in path]
        assert len(routes) >= 5
        for path in routes:
            for method in METHODS:
                theirs = await mallory.ask(method, path.replace("{key_id}", alice.own_id))
                if theirs.status_code == 405:
                    continue
                problem(theirs, 404, "key_not_found")
                nobodys = await mallory.ask(method, path.replace("{key_id}", "AAAAbbbb0000"))
                assert nobodys.content == theirs.content
        for query in (f"key_id={alice.own_id}", "user_id=alice", f"user_id=mallory&key_id={alice.own_id}"):
            problem(await mallory.ask("GET", f"/me/usage?{query}"), 404, "key_not_found")
        for query in (f"key_id={mallory.own_id}", "user_id=mallory", "by=key", ""):
            assert (await mallory.get(f"/me/usage?{query}"))["step"] == "1h"
        problem(await mallory.ask("GET", f"/events?topic=key:{alice.own_id}"), 404, "key_not_found")
        assert [key["user_id"] for key in (await mallory.get("/me/keys"))["keys"]] == ["mallory"]
        assert [shown["record"]["user_id"] for shown in (await mallory.get("/me/overview"))["keys"]] == [
            "mallory"
        ]

    with_site(tmp_path, scenario)


def test_nothing_of_operators_is_for_consumers(tmp_path: Path) -> None:
    """Every operation of the admin API and all that operators see besides: 403, with the token and all."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer("mallory", "*")
        for endpoint in ENDPOINTS:
            path = endpoint.path.replace("{key_id}", browser.own_id).replace("{ban}", "user:alice")
            answer = await browser.ask(endpoint.method, f"/admin{path}", json={})
            problem(answer, 403, "insufficient_scope")
        for path in ("/overview", "/search?q=a", "/near", "/system", "/events?topic=overview"):
            problem(await browser.ask("GET", path), 403, "insufficient_scope")

    with_site(tmp_path, scenario)


def test_single_scopes_show_what_they_allow(tmp_path: Path) -> None:
    """Each its own; the overview leaves out what it doesn't."""

    async def scenario(site: Site) -> None:
        auditor, reader, guard = [await site.operator(scope) for scope in (AUDIT_READ, KEYS_READ, BANS_READ)]
        everybody = await site.operator(ADMIN)
        assert (await auditor.get("/session"))["role"] == "operator"
        assert (await auditor.get("/admin/audit"))["entries"]
        for browser in (auditor, guard):
            for path in ("/admin/keys", "/search?q=a", "/near"):
                problem(await browser.ask("GET", path), 403, "insufficient_scope")
        for browser in (auditor, reader, guard):
            problem(await browser.ask("GET", "/system"), 403, "insufficient_scope")
        shown = [await browser.get("/overview") for browser in (auditor, reader, guard, everybody)]
        assert [page["bans"] for page in shown] == [None, None, 0, 0]
        assert [page["hour"] is None for page in shown] == [True, True, True, False]
        assert (await (await site.operator(USAGE_READ)).get("/overview"))["hour"]["step"] == "1m"

    with_site(tmp_path, scenario)


def test_an_operator_does_what_the_admin_api_does(tmp_path: Path) -> None:
    """The same answers, and the audit log names their key."""

    async def scenario(site: Site) -> None:
        alice, operator = await site.consumer("alice"), await site.operator()
        assert (await operator.get(f"/admin/keys/{alice.own_id}"))["user_id"] == "alice"
        answer = await operator.ask("PATCH", f"/admin/keys/{alice.own_id}", json={"name": "renamed"})
        assert (answer.status_code, answer.json()["name"]) == (200, "renamed")
        (entry, *_) = (await operator.get("/admin/audit"))["entries"]
        assert (entry["action"], entry["actor"]) == ("key.updated", f"key:{operator.own_id}")
        assert entry["source"] == "127.0.0.1"

    with_site(tmp_path, scenario)


def test_a_consumer_makes_a_key_like_their_own(tmp_path: Path) -> None:
    """Of their user, tier and own limits, with scopes that they hold; the audit log names their key."""

    async def scenario(site: Site) -> None:
        limits = {"rates": ["3/second"]}
        alice = await site.consumer("alice", "orders:*", tier="free", limits=limits)
        made = await created(alice, scopes=["orders:read"], environment="test", expires_in="7d")
        record = made["record"]
        assert (record["user_id"], record["tier"], record["limits"]) == ("alice", "free", limits)
        assert (record["scopes"], record["environment"]) == (["orders:read"], "test")
        assert record["expires_at"] == "2026-03-08T12:00:00Z"
        assert parse_key(made["key"]).key_id == record["key_id"]
        assert (await site.world.ask(key=made["key"])).status == 200
        (entry, *_) = (await site.world.management.store.audit()).entries
        assert (entry.action, entry.actor) == ("key.created", f"key:{alice.own_id}")

    with_site(tmp_path, scenario, tiers={"free": {"rates": ["10/second"]}})


TOO_MUCH: list[tuple[tuple[str, ...], str]] = [
    ((), "orders:read"),
    (("orders:read",), "orders:write"),
    (("orders:read",), "orders:*"),
    (("orders:*",), "*"),
    (("*",), KEYS_READ),
    (("*",), ADMIN),
    (("*", KEYS_READ), KEYS_WRITE),
    ((KEYS_WRITE,), "orders:read"),
]


def test_nobody_makes_a_key_that_may_do_more(tmp_path: Path) -> None:
    """Than the key that they are signed in with."""

    async def scenario(site: Site) -> None:
        for held, wanted in TOO_MUCH:
            browser = await site.consumer("alice", *held)
            answer = await browser.ask("POST", "/me/keys", json={"name": "x", "scopes": [wanted]})
            errors = problem(answer, 422, "invalid_input")["errors"]
            assert [error["field"] for error in errors] == ["/scopes"], wanted

    with_site(tmp_path, scenario)


def test_nothing_else_of_a_key_can_be_chosen(tmp_path: Path) -> None:
    """It is refused as what is not known here."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        for field in ("user_id", "tier", "limits", "metadata", "never", "expires_at"):
            answer = await browser.ask("POST", "/me/keys", json={"name": "x", field: "default"})
            assert problem(answer, 422, "invalid_input")["errors"][0]["field"] == f"/{field}"

    with_site(tmp_path, scenario)


def test_policies_hold_for_consumers_too(tmp_path: Path) -> None:
    """The longest lifetime, environments, and how many keys a user may have."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        body = {"name": "", "environment": "moon", "expires_in": "90d"}
        refused = problem(await browser.ask("POST", "/me/keys", json=body), 422, "invalid_input")
        assert {error["field"] for error in refused["errors"]} == {"/name", "/environment", "/expires_in"}
        await created(browser)
        problem(await browser.ask("POST", "/me/keys", json={"name": "third"}), 409, "too_many_keys")

    keys = {"default_lifetime": "20d", "longest_lifetime": "30d", "per_user": 2}
    with_site(tmp_path, scenario, keys=keys)


def test_only_who_holds_the_scopes_of_a_key_gets_its_successor(tmp_path: Path) -> None:
    """Else a narrow key would be worth as much as the widest of its user."""

    async def scenario(site: Site) -> None:
        wide, narrow = await site.consumer("alice", "orders:*"), await site.consumer("alice", "orders:read")
        problem(await narrow.ask("POST", f"/me/keys/{wide.own_id}/rotate"), 422, "invalid_input")
        assert (await wide.ask("POST", f"/me/keys/{narrow.own_id}/rotate")).status_code == 201

    with_site(tmp_path, scenario)


def test_a_session_goes_on_with_the_successor_of_its_key(tmp_path: Path) -> None:
    """Whoever rotates the key that they are signed in with is signed in with the new one, token and all."""

    async def scenario(site: Site) -> None:
        browser, copy = await site.consumer("alice", "a:read"), await site.browser()
        copy.client.cookies.update(browser.client.cookies)
        old = browser.own_id
        # The cookie is due for a renewal; the one of the new key is what counts.
        site.clock.advance(seconds=300)
        answer = await browser.ask("POST", f"/me/keys/{old}/rotate", json={"grace": "0s"})
        made = answer.json()
        assert answer.status_code == 201
        assert (made["old"]["key_id"], made["old"]["rotated_to"]) == (old, made["record"]["key_id"])
        assert parse_key(made["key"]).key_id == made["record"]["key_id"] == browser.own_id
        assert (await browser.get("/session"))["csrf"] == browser.csrf
        await created(browser)
        problem(await copy.ask("GET", "/session"), 401, "no_session")

    with_site(tmp_path, scenario)


def test_a_key_that_was_replaced_makes_no_further_keys(tmp_path: Path) -> None:
    """It may have leaked, which may be why. What it opened can still look, and end keys."""

    async def scenario(site: Site) -> None:
        key = await site.key("alice")
        thief, owner = await site.browser(), await site.browser()
        for browser in (thief, owner):
            await browser.sign_in(key)
        new = (await owner.ask("POST", f"/me/keys/{owner.own_id}/rotate")).json()["record"]["key_id"]
        may = (await thief.get("/session"))["may"]
        assert may == {"create": False, "rotate": False, "revoke": True}
        for path in ("/me/keys", f"/me/keys/{new}/rotate"):
            answer = await thief.ask("POST", path, json={"name": "x"} if path == "/me/keys" else {})
            problem(answer, 403, "self_service_off")
        assert (await thief.ask("POST", f"/me/keys/{thief.own_id}/revoke")).status_code == 200
        problem(await thief.ask("GET", "/session"), 401, "no_session")
        assert (await owner.get("/session"))["key_id"] == new

    with_site(tmp_path, scenario)


def test_what_is_switched_off_cannot_be_done(tmp_path: Path) -> None:
    """Each by itself, and the session says so."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer()
        own = f"/me/keys/{browser.own_id}"
        may = {"create": False, "rotate": False, "revoke": False}
        assert (await browser.get("/session"))["may"] == may
        for path, body in (("/me/keys", {"name": "x"}), (f"{own}/rotate", {}), (f"{own}/revoke", {})):
            problem(await browser.ask("POST", path, json=body), 403, "self_service_off")

    off = {"create": False, "rotate": False, "revoke": False}
    with_site(tmp_path, scenario, dashboard={"self_service": off})


def test_the_overview_of_a_consumer_shows_keys_that_are_good(tmp_path: Path) -> None:
    """With their limits, those used last first; revoked and expired ones are left out, no disabled one is."""

    async def scenario(site: Site) -> None:
        browser = await site.consumer("alice")
        await site.world.create_key("alice", lifetime=timedelta(seconds=5))
        revoked = await site.world.create_key("alice")
        await site.world.revoke(revoked.record)
        site.clock.advance(seconds=5)
        page = await browser.get("/me/overview")
        assert [shown["record"]["key_id"] for shown in page["keys"]] == [browser.own_id]
        assert page["keys"][0]["limits"] == await browser.get(f"/me/keys/{browser.own_id}/limits")
        assert (page["more"], page["refusals"]) == (0, [])
        disabled = (await created(browser))["record"]["key_id"]
        await site.world.management.service.disable(disabled, BY)
        page = await browser.get("/me/overview")
        assert {shown["record"]["key_id"] for shown in page["keys"]} == {browser.own_id, disabled}
        for _ in range(12):
            await created(browser)
        page = await browser.get("/me/overview")
        assert (len(page["keys"]), page["more"]) == (12, 2)

    with_site(tmp_path, scenario)


def test_limits_in_shadow_are_for_operators(tmp_path: Path) -> None:
    """They refuse nobody, so consumers needn't know what is being tried out."""

    async def scenario(site: Site) -> None:
        alice, operator = await site.consumer("alice"), await site.operator()
        own = f"/keys/{alice.own_id}/limits"
        shown = [await alice.get(f"/me{own}"), (await alice.get("/me/overview"))["keys"][0]["limits"]]
        for limits in shown:
            assert [limit["name"] for limit in limits["limits"]] == ["per-second"]
        everything = await operator.get(f"/admin{own}")
        assert [limit["name"] for limit in everything["limits"]] == ["per-second", "trial"]

    rates = ["5/second", {"rate": "1/hour", "name": "trial", "shadow": True}]
    with_site(tmp_path, scenario, tiers={"default": {"rates": rates}})
