"""Bans by the admin API: who may order them, what they do, and that they hold for the API itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from extauth.admin.bans import BanRecords, OffenderRecords
from extauth.keys.scopes import BANS_READ, BANS_WRITE
from tests.admin.console import ADDRESS, Console, mistakes, problem, with_console
from tests.waiting import eventually

ABUSE: dict[str, Any] = {"per_address": {"failures": 3}}
BODY = {"subject": "203.0.113.9", "lasts": "1h", "reason": "scans"}


def test_a_ban_is_added_listed_and_lifted(tmp_path: Path) -> None:
    """Each with the scope that it needs, audited under the key that asked."""

    async def scenario(it: Console) -> None:
        reader, writer = await it.key_with(BANS_READ), await it.key_with(BANS_WRITE)
        problem(await it.ask("POST", "/bans", key=reader, json=BODY), 403, "insufficient_scope")
        made = (await it.ask("POST", "/bans", key=writer, json=BODY)).json()
        actor = f"key:{writer.split('_')[2]}"
        assert made == {
            "id": made["id"],
            "subject": "ip:203.0.113.9",
            "origin": "manual",
            "began_at": "2026-03-01T12:00:00Z",
            "ends_at": "2026-03-01T13:00:00Z",
            "reason": "scans",
            "actor": actor,
        }
        problem(await it.ask("GET", "/bans", key=writer), 403, "insufficient_scope")
        listed = (await it.ask("GET", "/bans", key=reader)).json()
        assert listed == {"bans": [made]}
        BanRecords.model_validate(listed)
        problem(await it.ask("DELETE", f"/bans/{made['id']}", key=reader), 403, "insufficient_scope")
        assert (await it.ask("DELETE", f"/bans/{made['id']}", key=writer)).json() == made
        problem(await it.ask("DELETE", f"/bans/{made['id']}", key=writer), 404, "ban_not_found")
        again = await it.ask("POST", "/bans", key=writer, json={**BODY, "subject": "user:al/ice"})
        assert again.status_code == 200
        subject = await it.ask("DELETE", "/bans/user:al%2Fice", key=writer)
        assert subject.status_code == 404
        assert (await it.ask("DELETE", f"/bans/{again.json()['id']}", key=writer)).status_code == 200
        entries = (await it.ask("GET", "/audit")).json()["entries"]
        done = [(entry["action"], entry["actor"], entry["source"]) for entry in entries]
        assert done[:4] == [(f"ban.{what}", actor, ADDRESS) for what in ("lifted", "added") * 2]

    with_console(tmp_path, scenario)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """At its field, and nothing is done."""

    async def scenario(it: Console) -> None:
        wrong = {"subject": "10.0.0.0/8", "lasts": "soon", "reason": "a\nb", "other": 1}
        told = mistakes(await it.ask("POST", "/bans", json=wrong))
        assert told.keys() == {"/subject", "/lasts", "/reason", "/other"}
        assert mistakes(await it.ask("POST", "/bans", json={})).keys() == {"/subject", "/lasts"}
        assert (await it.ask("GET", "/bans")).json() == {"bans": []}

    with_console(tmp_path, scenario)


def test_bad_admin_keys_count_against_the_address(tmp_path: Path) -> None:
    """Then it is 429 here as for checks, but for keys that were verified before. A missing one is none."""

    async def scenario(it: Console) -> None:
        cold = await it.key_with(BANS_READ)
        assert (await it.ask("GET", "/bans")).status_code == 200
        for _ in range(9):
            problem(await it.ask("GET", "/bans", key=""), 401, "missing_key")
        for number in range(3):
            problem(await it.ask("GET", "/bans", key=f"no-key-{number}"), 401, "invalid_key")
        for key in (cold, "no-key", ""):
            answer = await it.ask("GET", "/bans", key=key)
            problem(answer, 429, "cooling_down")
            assert answer.headers["retry-after"] == "60"
        assert (await it.ask("GET", "/bans")).status_code == 200
        from_there = {"x-extauth-client-ip": ADDRESS}
        assert (await it.world.ask(key="no-key", headers=from_there)).code == "cooling_down"
        it.clock.advance(seconds=60)
        assert (await it.ask("GET", "/bans", key=cold)).status_code == 200
        lines = await it.events("admin_login_failed")
        assert [line["reason"] for line in lines][-3:] == ["banned"] * 3

    with_console(tmp_path, scenario, abuse=ABUSE)


@pytest.mark.parametrize("whom", ["key", "user", "ip"])
def test_an_operators_ban_holds_here_too(tmp_path: Path, whom: str) -> None:
    """A verified admin key is no exception; the command line lifts it."""

    async def scenario(it: Console) -> None:
        key_id = it.key.split("_")[2]
        subject = {"key": f"key:{key_id}", "user": "user:ops", "ip": ADDRESS}[whom]
        made = (await it.ask("POST", "/bans", json={**BODY, "subject": subject})).json()
        monitor = it.world.app.parts.abuse
        await eventually(lambda: bool(monitor.in_force), within=1.0)
        problem(await it.ask("GET", "/bans"), 429, "cooling_down")
        assert monitor.refusals[whom] == 1
        it.clock.advance(seconds=3_600)
        assert (await it.ask("GET", "/bans")).json() == {"bans": []}
        assert made["subject"].startswith(f"{whom}:")

    with_console(tmp_path, scenario)


def test_who_fails_most_is_shown(tmp_path: Path) -> None:
    """A few seconds later at the most."""

    async def scenario(it: Console) -> None:
        for number in range(2):
            await it.world.ask(key=f"no-key-{number}")
        # The next look of the server writes it.
        it.clock.advance(seconds=5)
        shown: dict[str, Any] = {"offenders": []}
        async with asyncio.timeout(5):
            while not shown["offenders"]:
                await asyncio.sleep(0.01)
                shown = (await it.ask("GET", "/abuse/offenders", params={"limit": "5"})).json()
        OffenderRecords.model_validate(shown)
        assert shown == {
            "offenders": [
                {
                    "subject": "ip:192.0.2.7",
                    "failures": 2,
                    "last_failed_at": "2026-03-01T12:00:00Z",
                    "reasons": {"malformed": 2},
                }
            ]
        }

    with_console(tmp_path, scenario)
