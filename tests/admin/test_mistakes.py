"""Everything that is wrong with a request is told in one answer, whoever finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from extauth.admin.fitting import fitting
from extauth.admin.mistakes import misread_change
from extauth.admin.models import KeyListQuery, NewKeyBody, NoParameters
from extauth.admin.reading import read_query
from extauth.admin.values import DEFAULT_PAGE
from extauth.errors import StoreError
from extauth.keys.scopes import KEYS_READ, KEYS_WRITE
from tests.admin.console import NEW_KEY, Console, mistakes, problem, with_console

UNKNOWN = "is not known here"
TEXT = "must be text"
TIERS = {
    "default": {"rates": ["10/second"], "scopes": ["a:*", "x:*", "extauth:*"]},
    "small": {"rates": ["1/second"], "scopes": ["x:*"]},
}


def told(answer: httpx.Response, status: int = 422, code: str = "invalid_input") -> list[tuple[str, str]]:
    """Return what a refusal says, in its order: each field, and how that begins."""
    errors = problem(answer, status, code)["errors"]
    return [(error["field"], " ".join(error["detail"].split()[:3])) for error in errors]


def fields(answer: httpx.Response, status: int = 422, code: str = "invalid_input") -> list[str]:
    """Return the fields that a refusal names, in its order."""
    return [field for field, _ in told(answer, status, code)]


def test_mistakes_of_type_and_of_value_come_together(tmp_path: Path) -> None:
    """In the order of the fields, those that nobody knows last, and the header behind them."""

    async def scenario(it: Console) -> None:
        body = {
            "odd": 1,
            "metadata": {"x": "y" * 5_000},
            "limits": "x",
            "expires_in": "2d",
            "scopes": ["a b", 7, "c:d"],
            "environment": "moon",
            "tier": "gold",
            "name": 5,
        }
        headers = {"idempotency-key": "x" * 256}
        assert told(await it.ask("POST", "/keys", json=body, headers=headers)) == [
            ("/user_id", "is needed"),
            ("/name", TEXT),
            ("/tier", "there is no"),
            ("/environment", "there is no"),
            ("/scopes/1", TEXT),
            ("/scopes", "'a b' is"),
            ("/expires_in", "a key may"),
            ("/limits", "must be an"),
            ("/metadata", "may hold 4096"),
            ("/odd", "is not known"),
            ("Idempotency-Key", "has 1 to"),
        ]
        assert len((await it.ask("GET", "/keys")).json()["keys"]) == 1

    with_console(tmp_path, scenario, keys={"default_lifetime": "1d", "longest_lifetime": "1d"})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Which scopes are allowed depends on the tier.
        ({"tier": 5, "scopes": ["z:b", "a b"]}, ["/tier", "/scopes"]),
        ({"tier": "small", "scopes": ["a:b", "c d"]}, ["/scopes", "/scopes"]),
        ({"tier": "small", "scopes": "a:b"}, ["/scopes"]),
        # When a key ends depends on three fields, of which a good one says enough.
        ({"expires_at": "soon"}, ["/expires_at"]),
        ({"never": "yes"}, ["/never"]),
        ({"expires_at": "soon", "expires_in": "99d"}, ["/expires_at", "/expires_in"]),
        ({"expires_at": "2020-01-01T00:00:00Z", "never": "yes"}, ["/expires_at", "/never"]),
        ({"expires_at": "soon", "never": True}, ["/expires_at", "/never"]),
        ({"expires_at": "soon", "expires_in": "1d", "never": True}, ["", "/expires_at"]),
        # Names of the key service are unknown here, and are nobody's fields.
        ({"lifetime": "1d", "expires_in": "99d"}, ["/expires_in", "/lifetime"]),
        ({"": 1, "tier": "gold"}, ["/tier", "/"]),
        ({"?tier": 1, "tier": "gold"}, ["/tier", "/?tier"]),
        ({"Idempotency-Key": "x", "tier": "gold"}, ["/tier", "/Idempotency-Key"]),
    ],
)
def test_a_rule_waits_for_all_the_fields_that_it_needs(
    tmp_path: Path, body: dict[str, Any], expected: list[str]
) -> None:
    """What is wrong by type is told alone, and every rule that can do without it is asked."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("POST", "/keys", json={**NEW_KEY, **body})
        assert fields(answer) == expected

    with_console(
        tmp_path,
        scenario,
        keys={"default_lifetime": "30d", "longest_lifetime": "90d"},
        tiers=TIERS,
    )


def test_a_scope_is_judged_by_every_rule(tmp_path: Path) -> None:
    """One that its tier may not hold, and that the caller can't grant either, has both told."""

    async def scenario(it: Console) -> None:
        key = await it.key_with(KEYS_WRITE)
        body = {**NEW_KEY, "tier": "small", "scopes": ["a:b"], "limits": 1}
        assert told(await it.ask("POST", "/keys", key=key, json=body)) == [
            ("/scopes", "keys of the"),
            ("/scopes", "'a:b' can't be"),
            ("/limits", "must be an"),
        ]

    with_console(tmp_path, scenario, tiers=TIERS)


def test_a_change_is_judged_as_a_whole(tmp_path: Path) -> None:
    """Also where what fits would change nothing; the record stays as it is."""

    async def scenario(it: Console) -> None:
        made = await it.create()
        at = f"/keys/{made['key_id']}"
        body = {"name": "", "tier": 5, "scopes": ["a b", 1], "expires_at": "2020-01-01T00:00:00Z", "odd": 1}
        assert fields(await it.ask("PATCH", at, json=body)) == [
            "/name", "/tier", "/scopes/1", "/scopes", "/expires_at", "/odd",
        ]  # fmt: skip
        assert mistakes(await it.ask("PATCH", at, json={"name": made["name"], "odd": 1})) == {"/odd": UNKNOWN}
        assert mistakes(await it.ask("PATCH", at, json={"odd": 1})) == {"/odd": UNKNOWN}
        await it.ask("POST", f"{at}/revoke")
        assert fields(await it.ask("PATCH", at, json={"name": 5})) == ["", "/name"]
        shown = (await it.ask("GET", at)).json()
        assert (shown["name"], shown["version"]) == (made["name"], 2)

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    ("action", "body", "expected"),
    [
        ("revoke", {"odd": 1}, ["/odd"]),
        ("revoke", {"reason": "x" * 257, "odd": 1}, ["/reason", "/odd"]),
        ("revoke", {"reason": 7, "odd": 1}, ["/reason", "/odd"]),
        ("rotate", {"odd": 1}, ["/odd"]),
        ("rotate", {"grace": "365d", "odd": 1}, ["/grace", "/odd"]),
        ("rotate", {"grace": "soon", "odd": 1}, ["/grace", "/odd"]),
        ("disable", {"odd": 1}, ["/odd"]),
        ("enable", {"odd": 1}, ["/odd"]),
    ],
)
def test_an_action_is_judged_as_a_whole_and_not_done(
    tmp_path: Path, action: str, body: dict[str, Any], expected: list[str]
) -> None:
    """Half of what was asked for may be the wrong half."""

    async def scenario(it: Console) -> None:
        at = f"/keys/{(await it.create())['key_id']}"
        assert fields(await it.ask("POST", f"{at}/{action}", json=body)) == expected
        shown = (await it.ask("GET", at)).json()
        assert (shown["version"], shown["active"], shown["rotated_to"]) == (1, True, None)

    with_console(tmp_path, scenario)


def test_a_grace_and_the_scopes_that_it_needs_are_judged_together(tmp_path: Path) -> None:
    """Whoever shortens the grace must not learn only then that they can't rotate the key."""

    async def scenario(it: Console) -> None:
        at = f"/keys/{(await it.create(scopes=['a:b']))['key_id']}"
        key = await it.key_with(KEYS_WRITE)
        answer = await it.ask("POST", f"{at}/rotate", key=key, json={"grace": "365d"})
        assert sorted(fields(answer)) == ["/grace", "/scopes"]

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cursor=x&limit=0&odd=1", ["cursor", "limit", "odd"]),
        ("odd=1&odd=2&active=yes&limit=5&limit=6&cursor=x", ["cursor", "limit", "active", "odd"]),
        ("cursor=x&cursor=y&active=yes", ["cursor", "active"]),
        ("unused_since=2026-01-01T00:00:00Z&unused_for=1d&limit=0&cursor=x", ["", "cursor", "limit"]),
        ("unused_since=soon&unused_for=1d&cursor=x", ["cursor", "unused_since"]),
    ],
)
def test_a_query_is_judged_as_a_whole(tmp_path: Path, query: str, expected: list[str]) -> None:
    """The cursor too, which only the store can judge."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("GET", f"/keys?{query}")
        assert fields(answer, 400, "invalid_query") == expected
        assert mistakes(answer, 400, "invalid_query").get("odd", UNKNOWN) == UNKNOWN

    with_console(tmp_path, scenario)


def test_a_query_of_the_audit_log_is_judged_as_a_whole(tmp_path: Path) -> None:
    """As that of keys."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("GET", "/audit?since=soon&odd=1&cursor=x")
        assert fields(answer, 400, "invalid_query") == ["cursor", "since", "odd"]
        answer = await it.ask("GET", "/audit?since=soon&odd=1")
        assert fields(answer, 400, "invalid_query") == ["since", "odd"]

    with_console(tmp_path, scenario)


def test_query_and_body_of_a_change_are_judged_together(tmp_path: Path) -> None:
    """400, as for every wrong query; nothing is made though the body alone would do."""

    async def scenario(it: Console) -> None:
        body = {**NEW_KEY, "tier": "gold", "name": 5}
        answer = await it.ask("POST", "/keys?tier=1", json=body)
        assert told(answer, 400, "invalid_query") == [
            ("/name", TEXT),
            ("/tier", "there is no"),
            ("tier", "is not known"),
        ]
        assert fields(await it.ask("POST", "/keys?dry_run=1", json=NEW_KEY), 400, "invalid_query") == [
            "dry_run"
        ]
        assert len((await it.ask("GET", "/keys")).json()["keys"]) == 1

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("odd", [{"name": 5}, {"odd": 1}])
def test_what_was_misread_is_told_whatever_else_stands_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: dict[str, Any]
) -> None:
    """A key that there is not, a version that has passed, a store that is gone: that can come later."""

    async def scenario(it: Console) -> None:
        at = f"/keys/{(await it.create())['key_id']}"
        expected = [f"/{name}" for name in odd]
        assert fields(await it.ask("PATCH", "/keys/AAAAbbbb0000", json=odd)) == expected
        assert fields(await it.ask("PATCH", at, json=odd, headers={"if-match": '"9"'})) == expected

        async def gone(*_: object, **__: object) -> None:
            raise StoreError("gone")

        monkeypatch.setattr(it.world.app.admin._services.service, "get", gone)
        assert fields(await it.ask("PATCH", at, json=odd)) == expected

    with_console(tmp_path, scenario)


def test_fields_that_cannot_be_read_are_known_to_the_service() -> None:
    """Under its own names, so that no rule judges what stands in for them; it has no unknown ones."""
    body = {"user_id": "alice", "expires_in": 5, "scopes": ["a:b", 7], "lifetime": 1, "": 1}
    misread = misread_change(fitting({}, NoParameters), fitting(body, NewKeyBody))
    assert misread.fields == {"name", "lifetime"}
    request = Request({"type": "http", "query_string": b"limit=5&limit=6&tier=x&odd=1", "headers": []})
    query = read_query(request, KeyListQuery)
    assert query.unread == {"limit"}
    assert (query.asked.tier, query.asked.limit) == ("x", DEFAULT_PAGE)


def test_who_may_not_change_keys_learns_nothing_about_fields(tmp_path: Path) -> None:
    """Rights come before everything: no tier, no cursor and no key id can be tried out."""

    async def scenario(it: Console) -> None:
        at = f"/keys/{(await it.create())['key_id']}"
        body = {"name": 5, "tier": "gold"}
        reader, writer = await it.key_with(KEYS_READ), await it.key_with(KEYS_WRITE)
        for method, path, key in (
            ("POST", "/keys?odd=1", reader),
            ("PATCH", at, reader),
            ("PATCH", "/keys/AAAAbbbb0000", reader),
            ("GET", "/keys?cursor=x&limit=0", writer),
        ):
            problem(await it.ask(method, path, key=key, json=body), 403, "insufficient_scope")
            problem(await it.ask(method, path, key="", json=body), 401, "missing_key")

    with_console(tmp_path, scenario)


def test_no_mistake_repeats_a_key(tmp_path: Path) -> None:
    """Whoever pastes one into the wrong field, beside other mistakes, finds it in no answer and in no log."""

    async def scenario(it: Console) -> None:
        secret = it.key
        body = {"user_id": secret, "name": 5, "tier": secret, "scopes": [secret, 1], secret: 1}
        answer = await it.ask("POST", f"/keys?{secret}=1", json=body)
        assert len(fields(answer, 400, "invalid_query")) == 7
        assert secret not in answer.text
        assert secret.encode() not in await it.world.log_bytes()

    with_console(tmp_path, scenario)
