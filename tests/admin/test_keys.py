"""Making, finding and changing keys through the admin API."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extauth.errors import NotFoundError
from extauth.stores.base import KeyUse
from tests.admin.console import NEW_KEY, Console, mistakes, problem, with_console
from tests.fakes import START


def test_a_key_is_made_as_asked_and_works(tmp_path: Path) -> None:
    """The answer is the record with the key, where it is shown, and its version; the check lets it in."""

    async def scenario(it: Console) -> None:
        asked = {
            "user_id": "alice",
            "name": "Müllers Schlüssel",
            "tier": "pro",
            "environment": "test",
            "scopes": ["orders:read", "stock:*"],
            "expires_in": "90d",
            "limits": {"rates": ["5/second burst 9"]},
            "metadata": {"team": "blue", "deep": {"list": [1, None, 2.5]}},
        }
        answer = await it.ask("POST", "/keys", json=asked)
        assert answer.status_code == 201
        record = answer.json()
        assert {name: record[name] for name in asked if name != "expires_in"} == {
            name: value for name, value in asked.items() if name != "expires_in"
        }
        assert (record["created_at"], record["expires_at"]) == (
            "2026-03-01T12:00:00Z",
            "2026-05-30T12:00:00Z",
        )
        assert answer.headers["etag"] == '"1"'
        shown = await it.ask("GET", answer.headers["location"].removeprefix("/admin/v1"))
        assert shown.json() == {name: value for name, value in record.items() if name != "key"}
        assert shown.headers["etag"] == '"1"'
        assert (await it.world.ask("/v1", key=record["key"])).status == 200

    with_console(tmp_path, scenario, tiers={"pro": {"rates": ["10/second"]}})


def test_what_is_left_out_has_the_settings_defaults(tmp_path: Path) -> None:
    """Tier, environment and lifetime."""

    async def scenario(it: Console) -> None:
        record = await it.create()
        assert (record["tier"], record["environment"]) == ("free", "test")
        assert record["expires_at"] == "2026-03-31T12:00:00Z"
        assert (record["scopes"], record["limits"], record["metadata"]) == ([], {}, {})
        assert (await it.create(never=True))["expires_at"] is None
        assert (await it.create(expires_at="2026-03-02T13:00:00.9+01:00"))["expires_at"] == (
            "2026-03-02T12:00:00Z"
        )

    keys = {"default_tier": "free", "default_environment": "test", "default_lifetime": "30d"}
    with_console(tmp_path, scenario, tiers={"free": {"rates": ["1/second"]}}, keys=keys)


ENDS: list[dict[str, Any]] = [
    {"expires_in": "90d", "never": True},
    {"expires_at": "2027-01-01T00:00:00Z", "never": True},
    {"expires_at": "2027-01-01T00:00:00Z", "expires_in": "90d"},
]


@pytest.mark.parametrize("ends", ENDS)
def test_a_key_has_one_end(tmp_path: Path, ends: dict[str, Any]) -> None:
    """Two that contradict each other are a mistake, not a choice of ours."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("POST", "/keys", json={**NEW_KEY, **ends})
        assert mistakes(answer) == {"": "give one of expires_at, expires_in, never"}

    with_console(tmp_path, scenario)


def test_a_user_with_too_many_keys_gets_no_more(tmp_path: Path) -> None:
    """409 with a code of its own."""

    async def scenario(it: Console) -> None:
        await it.create()
        body = problem(await it.ask("POST", "/keys", json=NEW_KEY), 409, "too_many_keys")
        assert "1 keys" in body["detail"]

    with_console(tmp_path, scenario, keys={"per_user": 1})


def test_unknown_ids_are_not_found(tmp_path: Path) -> None:
    """Wherever a key is named, also where it can't be an id."""

    async def scenario(it: Console) -> None:
        for key_id in ("AAAAbbbb0000", "x", "purge%00", "..", "a%7Bb%7D", "é", "0" * 65):
            at = f"/keys/{key_id}"
            if key_id != "..":
                problem(await it.ask("GET", at), 404, "key_not_found")
                problem(await it.ask("PATCH", at, json={"name": "x"}), 404, "key_not_found")
            for action in ("disable", "enable", "revoke", "rotate"):
                answer = await it.ask("POST", f"{at}/{action}")
                assert answer.status_code == 404
            assert (await it.ask("GET", f"{at}/grace")).status_code == 404

    with_console(tmp_path, scenario)


def test_what_can_be_no_id_is_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What callers write into a path becomes no part of a store's names."""

    async def scenario(it: Console) -> None:
        asked: list[str] = []

        async def get(key_id: str) -> None:
            asked.append(key_id)
            raise NotFoundError(key_id)

        monkeypatch.setattr(it.world.app.admin._services.service, "get", get)
        for key_id in ("a%7Bb%7D", "a:b", "0" * 65, "%00", "AAAAbbbb0000"):
            problem(await it.ask("GET", f"/keys/{key_id}"), 404, "key_not_found")
        assert asked == ["AAAAbbbb0000"]

    with_console(tmp_path, scenario)


def test_lists_are_filtered(tmp_path: Path) -> None:
    """Each filter alone, and all of them together."""

    async def scenario(it: Console) -> None:
        names = {}
        for name, asked in {
            "bob": {"user_id": "bob"},
            "pro": {"tier": "pro"},
            "ending": {"expires_in": "5d"},
            "later": {"expires_in": "60d"},
        }.items():
            names[(await it.create(name=name, **asked))["key_id"]] = name
        off = await it.create(name="off")
        await it.ask("POST", f"/keys/{off['key_id']}/disable")
        used = [key_id for key_id, name in names.items() if name in {"pro", "later"}]
        names[off["key_id"]] = "off"
        it.clock.advance(seconds=86_400)
        uses = [KeyUse(key_id=key_id, last_used=START + timedelta(days=1)) for key_id in used]
        await it.world.management.store.note_uses(uses)

        async def listed(**query: Any) -> set[str]:
            answer = await it.ask("GET", "/keys", params={"limit": 1000, **query})
            assert answer.status_code == 200, answer.text
            return {names[key["key_id"]] for key in answer.json()["keys"] if key["key_id"] in names}

        everything = {"bob", "pro", "ending", "later", "off"}
        assert await listed() == everything
        assert await listed(user_id="bob") == {"bob"}
        assert await listed(tier="pro") == {"pro"}
        assert await listed(active="false") == {"off"}
        assert await listed(active="true") == everything - {"off"}
        assert await listed(expiring_within="30d") == {"ending"}
        assert await listed(expiring_within="90d") == {"ending", "later"}
        assert await listed(unused_since="2026-03-02T11:00:00Z") == {"bob", "ending", "off"}
        assert await listed(unused_for="1h") == {"bob", "ending", "off"}
        assert await listed(unused_for="25h") == set()
        assert await listed(user_id="alice", active="true", unused_for="1h", expiring_within="30d") == {
            "ending"
        }
        assert await listed(user_id="nobody") == set()

    with_console(tmp_path, scenario, tiers={"pro": {"rates": ["10/second"]}})


def test_lists_are_read_page_by_page(tmp_path: Path) -> None:
    """Every key once, oldest first, until the cursor is null."""

    async def scenario(it: Console) -> None:
        made = []
        for _ in range(5):
            it.clock.advance(seconds=1)
            made.append((await it.create())["key_id"])
        seen: list[str] = []
        query: dict[str, Any] = {"user_id": "alice", "limit": 2}
        while True:
            page = (await it.ask("GET", "/keys", params=query)).json()
            assert len(page["keys"]) <= 2
            seen.extend(key["key_id"] for key in page["keys"])
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert seen == made

    with_console(tmp_path, scenario)


def test_a_change_tells_absent_from_null(tmp_path: Path) -> None:
    """What is left out stays; `expires_at: null` takes the end away."""

    async def scenario(it: Console) -> None:
        made = await it.create(expires_in="1d", scopes=["a:b"], metadata={"x": 1})
        at = f"/keys/{made['key_id']}"
        renamed = await it.ask("PATCH", at, json={"name": "desktop"})
        assert renamed.headers["etag"] == '"2"'
        assert renamed.json() == {
            **{name: value for name, value in made.items() if name != "key"},
            "name": "desktop",
            "version": 2,
        }
        endless = (await it.ask("PATCH", at, json={"expires_at": None})).json()
        assert (endless["expires_at"], endless["name"], endless["version"]) == (None, "desktop", 3)
        change = {
            "tier": "pro",
            "scopes": [],
            "limits": {"rates": ["1/hour"]},
            "metadata": {},
            "expires_at": "2026-12-31T23:59:59Z",
        }
        changed = (await it.ask("PATCH", at, json=change)).json()
        assert {name: changed[name] for name in change} == change
        assert (await it.ask("PATCH", at, json={"limits": {}})).json()["limits"] == {}

    with_console(tmp_path, scenario, tiers={"pro": {"rates": ["10/second"]}})


@pytest.mark.parametrize("field", ["name", "tier", "scopes", "limits", "metadata"])
def test_null_means_nothing_elsewhere(tmp_path: Path, field: str) -> None:
    """Nobody can tell whether it was to be emptied or left."""

    async def scenario(it: Console) -> None:
        made = await it.create()
        answer = await it.ask("PATCH", f"/keys/{made['key_id']}", json={field: None})
        assert mistakes(answer) == {f"/{field}": "must not be null; leave it out instead"}
        created = await it.ask("POST", "/keys", json={**NEW_KEY, field: None})
        assert mistakes(created) == {f"/{field}": "must not be null; leave it out instead"}

    with_console(tmp_path, scenario)


def test_a_change_changes_something(tmp_path: Path) -> None:
    """An empty one would only make a version; and what can't be changed is not known."""

    async def scenario(it: Console) -> None:
        at = f"/keys/{(await it.create())['key_id']}"
        assert mistakes(await it.ask("PATCH", at, json={})) == {
            "": "name at least one field that is to change"
        }
        assert set(mistakes(await it.ask("PATCH", at, json={"user_id": "bob", "active": False}))) == {
            "/user_id",
            "/active",
        }

    with_console(tmp_path, scenario)
