"""A new key is shown once, to whoever made it; no other answer and no log line holds it, or a cookie."""

from __future__ import annotations

from pathlib import Path

from extauth.keys.token import parse_key
from tests.dashboard.visit import Site, with_site
from tests.keys import traces_of


def test_no_log_line_and_no_other_answer_holds_a_secret(tmp_path: Path) -> None:
    """Whatever is done, also with keys in places where none belongs."""

    async def scenario(site: Site) -> None:
        key = await site.key("alice", "extauth:admin")
        browser = await site.browser()
        shown: list[str] = []

        async def ask(method: str, path: str, **asked: object) -> str:
            answer = await browser.ask(method, path, **asked)  # type: ignore[arg-type]  # as given
            text = answer.text
            new = answer.json().get("key", "") if answer.status_code == 201 else ""
            shown.append(text.replace(new, "") if new else text)
            return str(new)

        await ask("POST", "/session", json={"key": key})
        browser.csrf = (await browser.get("/session"))["csrf"]
        made = [await ask("POST", "/me/keys", json={"name": "x"})]
        made.append(await ask("POST", f"/me/keys/{parse_key(made[0]).key_id}/rotate"))
        cookies = [browser.cookie]
        made.append(await ask("POST", f"/me/keys/{browser.own_id}/rotate"))
        cookies.append(browser.cookie)
        assert all(made)
        assert len(set(cookies)) == 2
        for text in (key, *made):
            await ask("GET", f"/search?q={text}")
            await ask("GET", f"/me/keys/{text}")
            await ask("GET", f"/events?topic=key:{text}")
            await ask("GET", f"/me/usage?key_id={text}&nonsense={text}")
            await ask("POST", "/me/keys", json={"name": text, "scopes": [text]})
            await ask("POST", f"/me/keys/{browser.own_id}/revoke", json={"reason": text})
            await ask("POST", "/session", json={"key": text + "0"})
            await ask("POST", "/session", json={text: text})
        for path in ("/me/keys", "/me/overview", "/overview", "/near", "/system", "/admin/audit"):
            await ask("GET", path)
        await ask("DELETE", "/session")
        everything = "\n".join([(await site.world.log_bytes()).decode(), *shown])
        for text in (key, *made):
            assert traces_of(parse_key(text).secret, everything) == []
        assert [cookie for cookie in cookies if cookie.rpartition(".")[2] in everything] == []
        assert "dashboard_login" in everything
        assert "argon2id" not in everything

    with_site(tmp_path, scenario)


def test_what_a_search_is_given_of_a_key_is_its_id(tmp_path: Path) -> None:
    """Whoever pastes a whole key finds it."""

    async def scenario(site: Site) -> None:
        made = await site.world.create_key("bob")
        found = await (await site.operator()).get(f"/search?q={made.text}")
        assert [key["key_id"] for key in found["keys"]] == [made.record.key_id]
        by_user = await (await site.operator()).get("/search?q=bo")
        assert by_user == {"keys": [], "users": [{"user_id": "bob", "keys": 1}]}

    with_site(tmp_path, scenario)
