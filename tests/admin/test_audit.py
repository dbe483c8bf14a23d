"""The audit log and the peppers, as the admin API shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.admin.console import ADDRESS, Console, with_console


def test_entries_say_what_became_of_what(tmp_path: Path) -> None:
    """Only what differs, as it was and as it is; newest first."""

    async def scenario(it: Console) -> None:
        made = await it.create(name="before")
        it.clock.advance(seconds=60)
        await it.ask("PATCH", f"/keys/{made['key_id']}", json={"name": "after"})
        query = {"key_id": made["key_id"]}
        changed, created = (await it.ask("GET", "/audit", params=query)).json()["entries"]
        assert (changed["action"], changed["at"]) == ("key.updated", "2026-03-01T12:01:00Z")
        assert (changed["before"], changed["after"]) == ({"name": "before"}, {"name": "after"})
        assert (created["action"], created["before"], created["after"]["name"]) == (
            "key.created",
            {},
            "before",
        )
        assert changed["source"] == ADDRESS

    with_console(tmp_path, scenario)


def test_entries_are_filtered_and_paged(tmp_path: Path) -> None:
    """Each filter alone, and page by page."""

    async def scenario(it: Console) -> None:
        ids = []
        for _ in range(3):
            it.clock.advance(seconds=60)
            ids.append((await it.create())["key_id"])
        it.clock.advance(seconds=60)
        await it.ask("POST", f"/keys/{ids[0]}/revoke")

        async def found(**query: Any) -> list[tuple[str, str]]:
            page = (await it.ask("GET", "/audit", params=query)).json()
            assert page["next_cursor"] is None
            return [(entry["action"].removeprefix("key."), entry["key_id"]) for entry in page["entries"]]

        actor = f"key:{it.key.split('_')[2]}"
        created = [("created", key_id) for key_id in reversed(ids)]
        assert await found(actor=actor) == [("revoked", ids[0]), *created]
        assert len(await found(actor="tests")) == 1
        assert await found(action="key.revoked") == [("revoked", ids[0])]
        assert await found(key_id=ids[1]) == [("created", ids[1])]
        between = {"since": "2026-03-01T12:02:00Z", "until": "2026-03-01T12:04:00Z"}
        assert await found(**between) == created[:2]
        assert await found(key_id="AAAAbbbb0000") == []

        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while query.get("cursor", "") is not None:
            page = (await it.ask("GET", "/audit", params=query)).json()
            seen.extend(entry["id"] for entry in page["entries"])
            query["cursor"] = page["next_cursor"]
        assert seen == sorted(seen, key=int, reverse=True)
        assert len(seen) == 5

    with_console(tmp_path, scenario)


def test_peppers_tell_how_many_keys_need_them(tmp_path: Path) -> None:
    """And which of them signs; never what they are."""

    async def scenario(it: Console) -> None:
        await it.create()
        (pepper,) = (await it.ask("GET", "/peppers")).json()["peppers"]
        assert pepper == {
            "pepper_id": it.world.management.peppers.newest_id,
            "keys": 2,
            "configured": True,
            "signs": True,
        }

    with_console(tmp_path, scenario)
