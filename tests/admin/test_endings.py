"""Disabling, revoking, rotating and purging keys through the admin API."""

from __future__ import annotations

from pathlib import Path

from extauth.stores.base import KeyUse
from tests.admin.console import Console, mistakes, problem, with_console
from tests.fakes import START


def test_a_key_is_disabled_and_enabled(tmp_path: Path) -> None:
    """The body may be left out, and holds nothing."""

    async def scenario(it: Console) -> None:
        at = f"/keys/{(await it.create())['key_id']}"
        disabled = await it.ask("POST", f"{at}/disable")
        assert (disabled.status_code, disabled.json()["active"]) == (200, False)
        enabled = await it.ask("POST", f"{at}/enable", json={})
        assert (enabled.status_code, enabled.json()["active"]) == (200, True)
        assert mistakes(await it.ask("POST", f"{at}/disable", json={"why": ""})) == {
            "/why": "is not known here"
        }

    with_console(tmp_path, scenario)


def test_a_key_is_revoked_for_good(tmp_path: Path) -> None:
    """With a reason in its record; nothing brings it back, and once more changes nothing."""

    async def scenario(it: Console) -> None:
        made = await it.create()
        at = f"/keys/{made['key_id']}"
        revoked = (await it.ask("POST", f"{at}/revoke", json={"reason": "leaked"})).json()
        assert (revoked["active"], revoked["revoked_reason"]) == (False, "leaked")
        assert revoked["revoked_at"] == "2026-03-01T12:00:00Z"
        assert (await it.ask("POST", f"{at}/revoke")).json() == revoked
        assert (await it.world.ask("/v1", key=made["key"])).status == 401
        for answer in (
            await it.ask("POST", f"{at}/enable"),
            await it.ask("POST", f"{at}/rotate"),
            await it.ask("PATCH", at, json={"name": "x"}),
        ):
            assert list(mistakes(answer)) == [""]
        assert list(mistakes(await it.ask("POST", f"{at}/revoke", json={"reason": "x" * 257}))) == ["/reason"]

    with_console(tmp_path, scenario)


def test_a_key_is_rotated(tmp_path: Path) -> None:
    """A new key like the old one, which goes on working for the grace; once."""

    async def scenario(it: Console) -> None:
        old = await it.create(scopes=["a:b"])
        answer = await it.ask("POST", f"/keys/{old['key_id']}/rotate", json={"grace": "2h"})
        new = answer.json()
        assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
        assert answer.headers["location"] == f"/admin/v1/keys/{new['key_id']}"
        assert (new["rotated_from"], new["scopes"]) == (old["key_id"], ["a:b"])
        ended = (await it.ask("GET", f"/keys/{old['key_id']}")).json()
        assert (ended["rotated_to"], ended["grace_until"]) == (new["key_id"], "2026-03-01T14:00:00Z")
        for key in (old["key"], new["key"]):
            assert (await it.world.ask("/v1", key=key)).status == 200
        again = await it.ask("POST", f"/keys/{old['key_id']}/rotate")
        assert list(mistakes(again)) == [""]
        last = (await it.ask("POST", f"/keys/{new['key_id']}/rotate", json={"grace": "0s"})).json()
        assert (await it.ask("GET", f"/keys/{new['key_id']}")).json()["grace_until"] == "2026-03-01T12:00:00Z"
        too_long = await it.ask("POST", f"/keys/{last['key_id']}/rotate", json={"grace": "365d"})
        assert list(mistakes(too_long)) == ["/grace"]

    with_console(tmp_path, scenario)


def test_the_grace_tells_who_still_calls(tmp_path: Path) -> None:
    """From where and how often, and whether ending it is safe."""

    async def scenario(it: Console) -> None:
        old = await it.create()
        at = f"/keys/{old['key_id']}"
        problem(await it.ask("GET", f"{at}/grace"), 409, "not_rotated")
        new = (await it.ask("POST", f"{at}/rotate")).json()
        quiet = (await it.ask("GET", f"{at}/grace")).json()
        assert (quiet["calls"], quiet["addresses"], quiet["safe_to_end"]) == (0, [], True)
        assert (quiet["rotated_to"], quiet["grace_until"]) == (new["key_id"], "2026-03-02T12:00:00Z")
        calls = {"192.0.2.1": 1, "192.0.2.2": 3}
        use = KeyUse(key_id=old["key_id"], last_used=START, calls=calls)
        await it.world.management.store.note_uses([use])
        busy = (await it.ask("GET", f"{at}/grace")).json()
        assert (busy["calls"], busy["safe_to_end"]) == (4, False)
        assert busy["addresses"] == [
            {"address": "192.0.2.2", "calls": 3},
            {"address": "192.0.2.1", "calls": 1},
        ]

    with_console(tmp_path, scenario)


def test_old_revoked_keys_are_purged(tmp_path: Path) -> None:
    """Those revoked before the time and no others; the audit log keeps what they were."""

    async def scenario(it: Console) -> None:
        early, late, living = [(await it.create())["key_id"] for _ in range(3)]
        await it.ask("POST", f"/keys/{early}/revoke")
        it.clock.advance(seconds=3600)
        await it.ask("POST", f"/keys/{late}/revoke")
        purged = await it.ask("POST", "/keys/purge", json={"revoked_before": "2026-03-01T13:00:00Z"})
        assert purged.json() == {"purged": 1}
        statuses = [(await it.ask("GET", f"/keys/{key_id}")).status_code for key_id in (early, late, living)]
        assert statuses == [404, 200, 200]
        entries = (await it.ask("GET", "/audit", params={"key_id": early})).json()["entries"]
        assert [entry["action"] for entry in entries] == ["key.purged", "key.revoked", "key.created"]

    with_console(tmp_path, scenario)


def test_a_purge_needs_to_be_told_how_far(tmp_path: Path) -> None:
    """It can't be undone; and it is no key."""

    async def scenario(it: Console) -> None:
        assert mistakes(await it.ask("POST", "/keys/purge", json={})) == {"/revoked_before": "is needed"}
        for method in ("GET", "PATCH", "DELETE", "QUERY"):
            answer = await it.ask(method, "/keys/purge")
            problem(answer, 405, "method_not_allowed")
            assert answer.headers["allow"] == "POST"

    with_console(tmp_path, scenario)
