"""Secrets are shown once, to whoever made them: no other answer and no log line holds one, or a hash."""

from __future__ import annotations

from pathlib import Path

from extauth.keys.scopes import ADMIN
from extauth.keys.token import parse_key
from tests.admin.console import NEW_KEY, Console, with_console
from tests.keys import traces_of


async def do_everything(it: Console) -> list[str]:
    """Use every operation, also with keys in places where none belongs; return the keys that there are."""
    made = await it.create(scopes=[ADMIN])
    at, text = f"/keys/{made['key_id']}", made["key"]
    for _ in range(2):
        await it.ask("POST", "/keys", json={**NEW_KEY, "tier": "pro"}, headers={"idempotency-key": "once"})
    repeated = it.answers[-2].json()["key"]
    rotated = (await it.ask("POST", f"{at}/rotate")).json()["key"]
    for path in ("/keys", at, f"{at}/grace", "/audit", "/peppers", "/openapi.json"):
        await it.ask("GET", path, key=text)
    for misplaced in ("user_id", "name", "tier", "environment", text):
        await it.ask("POST", "/keys", json={**NEW_KEY, misplaced: text})
        await it.ask("PATCH", at, json={misplaced: text})
    await it.ask("POST", "/keys", json={**NEW_KEY, "scopes": [text], "limits": {text: text}})
    await it.ask("POST", "/keys", json={**NEW_KEY, "metadata": {text: text}, "expires_in": text})
    await it.ask("GET", f"/keys?{text}=1&user_id={text}&limit={text}&cursor={text}")
    await it.ask("GET", f"/keys?cursor={text}")
    await it.ask("GET", f"/audit?key_id={text}&since={text}")
    for method in ("GET", "POST", "DELETE"):
        await it.ask(method, f"/keys/{text}")
        await it.ask(method, f"/keys/{text}/revoke", headers={"idempotency-key": text, "if-match": text})
    await it.ask("GET", "/keys", key=text[:-1] + ("a" if text[-1] != "a" else "b"))
    await it.ask("POST", f"{at}/disable")
    await it.ask("POST", f"{at}/enable")
    await it.ask("POST", f"{at}/revoke", json={"reason": f"leaked: {text}"})
    await it.ask("POST", f"{at}/revoke", json={"reason": "over"})
    it.clock.advance(seconds=10)
    await it.ask("POST", "/keys/purge", json={"revoked_before": "2026-03-01T12:00:05Z"})
    return [text, repeated, rotated, it.key]


def test_no_answer_and_no_log_line_holds_a_secret(tmp_path: Path) -> None:
    """But for the two kinds of answers that hand one out, in `key`."""

    async def scenario(it: Console) -> None:
        texts = await do_everything(it)
        log = (await it.world.log_bytes()).decode()
        issued = []
        shown = [log]
        for answer in it.answers:
            body = answer.text
            if answer.status_code == 201:
                issued.append(answer.json()["key"])
                body = body.replace(issued[-1], "")
            shown.append(body + str(answer.headers))
        assert set(issued) == set(texts[:3])
        everything = "\n".join(shown)
        for text in texts:
            assert traces_of(parse_key(text).secret, everything) == []
        assert "argon2id" not in everything
        assert "hashed" not in everything
        assert {answer.headers["cache-control"] for answer in it.answers} == {"no-store"}

    with_console(tmp_path, scenario, tiers={"pro": {"rates": ["10/second"]}})


def test_the_hash_of_a_key_never_leaves_the_store(tmp_path: Path) -> None:
    """Neither whole nor in part."""

    async def scenario(it: Console) -> None:
        key_id = parse_key(it.key).key_id
        record = await it.world.management.service.get(key_id)
        for path in (f"/keys/{key_id}", "/keys", "/audit"):
            text = (await it.ask("GET", path)).text
            assert key_id in text
            assert record.hashed_key[-20:] not in text

    with_console(tmp_path, scenario)
