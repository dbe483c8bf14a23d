"""Who may use the admin API, and what everybody else learns: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from extauth.admin.access import client_address
from extauth.admin.endpoints import ENDPOINTS
from extauth.errors import OverloadedError, StoreError
from extauth.keys.scopes import ADMIN, ADMIN_SCOPES, AUDIT_READ, KEYS_READ, KEYS_WRITE
from tests.admin.console import ADDRESS, NEW_KEY, Console, problem, with_console
from tests.keys import mint

CHALLENGE = 'Bearer realm="extauth"'
# What an endpoint must not look at before it knows who is asking.
NONSENSE: dict[str, Any] = {"content": b"{", "headers": {"content-type": "text/plain", "if-match": "x"}}
EVERYTHING = [(endpoint.method, endpoint.path, endpoint.scope) for endpoint in ENDPOINTS]


def here(path: str) -> str:
    """Return a path with a key id that there is not, and a query that is wrong."""
    return f"{path.replace('{key_id}', 'AAAAbbbb0000')}?nonsense=1"


@pytest.mark.parametrize(("method", "path", "scope"), EVERYTHING)
def test_nobody_gets_in_without_a_key(tmp_path: Path, method: str, path: str, scope: str) -> None:
    """401 with a bare challenge, whatever else is wrong with the request."""
    del scope

    async def scenario(it: Console) -> None:
        answer = await it.ask(method, here(path), key="", **NONSENSE)
        problem(answer, 401, "missing_key")
        assert answer.headers["www-authenticate"] == CHALLENGE

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(("method", "path", "scope"), EVERYTHING)
def test_a_wrong_key_is_no_key(tmp_path: Path, method: str, path: str, scope: str) -> None:
    """401 with an error, whatever else is wrong with the request."""
    del scope

    async def scenario(it: Console) -> None:
        answer = await it.ask(method, here(path), key=mint()[0], **NONSENSE)
        problem(answer, 401, "invalid_key")
        assert answer.headers["www-authenticate"] == f'{CHALLENGE}, error="invalid_token"'

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(("method", "path", "scope"), EVERYTHING)
def test_each_endpoint_needs_its_scope(tmp_path: Path, method: str, path: str, scope: str) -> None:
    """All others together don't do; the challenge names it, and nothing is looked up or read before."""

    async def scenario(it: Console) -> None:
        others = [other for other in ADMIN_SCOPES if other not in {scope, ADMIN}]
        key = await it.key_with("*", *others)
        unknown = await it.ask(method, here(path), key=key, **NONSENSE)
        known = await it.create()
        existing = await it.ask(method, path.replace("{key_id}", known["key_id"]), key=key)
        for answer in (unknown, existing):
            problem(answer, 403, "insufficient_scope")
            assert answer.headers["www-authenticate"] == (
                f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            )
        assert unknown.content == existing.content

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(("method", "path", "scope"), EVERYTHING)
def test_the_scope_alone_lets_in(tmp_path: Path, method: str, path: str, scope: str) -> None:
    """The scope, or extauth:admin: then the request itself is looked at."""

    async def scenario(it: Console) -> None:
        for held in (scope, ADMIN):
            answer = await it.ask(method, here(path), key=await it.key_with(held))
            problem(answer, 400, "invalid_query")

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "bearer", "Token x"])
def test_what_holds_no_key_is_no_login(tmp_path: Path, value: str) -> None:
    """Another scheme, or a scheme and nothing behind it."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("GET", "/keys", key="", headers={"authorization": value})
        problem(answer, 401, "missing_key")

    with_console(tmp_path, scenario)


def test_the_scheme_is_read_in_any_case(tmp_path: Path) -> None:
    """As RFC 9110 section 11.1 has it."""

    async def scenario(it: Console) -> None:
        for scheme in ("bearer", "BEARER"):
            lines = {"authorization": f"{scheme}  {it.key} "}
            assert (await it.ask("GET", "/keys", key="", headers=lines)).status_code == 200

    with_console(tmp_path, scenario)


def test_two_keys_are_none(tmp_path: Path) -> None:
    """Nobody can tell which is meant, even where both are good."""

    async def scenario(it: Console) -> None:
        twice = [("authorization", f"Bearer {it.key}")] * 2
        problem(await it.ask("GET", "/keys", key="", headers=twice), 401, "invalid_key")
        joined = {"authorization": f"Bearer {it.key}, Bearer {it.key}"}
        problem(await it.ask("GET", "/keys", key="", headers=joined), 401, "invalid_key")
        reasons = [line["reason"] for line in await it.events("admin_login_failed")]
        assert reasons == ["two keys", "malformed"]

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("end", ["revoke", "disable", "expire"])
def test_a_key_that_may_not_be_used_is_refused(tmp_path: Path, end: str) -> None:
    """Alike to the caller; the log says why."""

    async def scenario(it: Console) -> None:
        record = await it.create(scopes=[ADMIN], expires_in="1h")
        if end == "expire":
            it.clock.advance(seconds=3600)
        else:
            assert (await it.ask("POST", f"/keys/{record['key_id']}/{end}")).status_code == 200
        problem(await it.ask("GET", "/keys", key=record["key"]), 401, "invalid_key")
        (line,) = await it.events("admin_login_failed")
        assert line["reason"] == {"revoke": "revoked", "disable": "disabled", "expire": "expired"}[end]
        assert line["key_id"] == record["key_id"]

    with_console(tmp_path, scenario)


def test_a_key_that_expires_between_two_requests_is_refused(tmp_path: Path) -> None:
    """Though it is remembered as verified."""

    async def scenario(it: Console) -> None:
        record = await it.create(scopes=[ADMIN], expires_in="1h")
        assert (await it.ask("GET", "/keys", key=record["key"])).status_code == 200
        it.clock.advance(seconds=3600)
        problem(await it.ask("GET", "/keys", key=record["key"]), 401, "invalid_key")

    with_console(tmp_path, scenario)


def test_argon2_runs_once_for_a_key(tmp_path: Path) -> None:
    """Admin keys are recognised as all others are."""

    async def scenario(it: Console) -> None:
        for _ in range(3):
            assert (await it.ask("GET", "/keys")).status_code == 200
        assert it.world.app.hasher.verifications == 1

    with_console(tmp_path, scenario)


def test_a_failed_login_is_logged_counted_and_told(tmp_path: Path) -> None:
    """Reason, address and, where it is known, the key: what whoever counts failures needs, and no secret."""

    async def scenario(it: Console) -> None:
        text = mint()[0]
        await it.ask("GET", "/keys", key=text)
        await it.ask("GET", "/keys", key="")
        lines = await it.events("admin_login_failed")
        assert [line["level"] for line in lines] == ["warning", "warning"]
        assert [line["reason"] for line in lines] == ["tag does not fit", "no key"]
        assert {line["client_ip"] for line in lines} == {ADDRESS}
        assert it.counted() == {"unauthenticated": 2}
        # A key that is not there is none that failed.
        failures = it.world.app.parts.abuse.failures
        assert sum(failures.values()) == failures["tag does not fit"] == 1
        assert text.encode() not in await it.world.log_bytes()

    with_console(tmp_path, scenario)


def test_requests_are_counted_by_what_came_of_them(tmp_path: Path) -> None:
    """A closed set of labels."""

    async def scenario(it: Console) -> None:
        await it.ask("GET", "/keys")
        await it.ask("GET", "/keys/AAAAbbbb0000")
        await it.ask("GET", "/keys", key=await it.key_with(KEYS_WRITE))
        assert it.counted() == {"done": 1, "refused": 1, "forbidden": 1}

    with_console(tmp_path, scenario)


def test_nobody_can_grant_what_they_do_not_hold(tmp_path: Path) -> None:
    """Neither by making a key, nor by changing one, nor by rotating one that holds more."""

    async def scenario(it: Console) -> None:
        key = await it.key_with(KEYS_WRITE, "orders:*")
        for scope in (KEYS_READ, ADMIN, "*", "stock:read"):
            body = {**NEW_KEY, "scopes": ["orders:read", scope]}
            refused = await it.ask("POST", "/keys", key=key, json=body)
            assert problem(refused, 422, "invalid_input")["errors"] == [
                {
                    "field": "/scopes",
                    "detail": f"{scope!r} can't be granted by somebody who doesn't hold it",
                }
            ]
        made = await it.ask("POST", "/keys", key=key, json={**NEW_KEY, "scopes": ["orders:read", KEYS_WRITE]})
        assert made.status_code == 201
        change = {"scopes": ["orders:read", ADMIN]}
        problem(
            await it.ask("PATCH", f"/keys/{made.json()['key_id']}", key=key, json=change),
            422,
            "invalid_input",
        )
        powerful = await it.create(scopes=[ADMIN])
        problem(await it.ask("POST", f"/keys/{powerful['key_id']}/rotate", key=key), 422, "invalid_input")
        listed = await it.ask("GET", "/keys", params={"user_id": "alice"})
        assert len(listed.json()["keys"]) == 2

    with_console(tmp_path, scenario)


def test_changes_are_audited_under_the_key_and_its_address(tmp_path: Path) -> None:
    """Headers that name another address count for nothing."""

    async def scenario(it: Console) -> None:
        record = (await it.world.create_key("ops", scopes=(KEYS_WRITE,))).record
        key = await it.key_with(KEYS_WRITE)
        forged = {"x-forwarded-for": "203.0.113.1", "x-extauth-client-ip": "203.0.113.1"}
        answer = await it.ask("POST", f"/keys/{record.key_id}/disable", key=key, headers=forged)
        assert answer.status_code == 200
        entries = (await it.ask("GET", "/audit", params={"key_id": record.key_id})).json()["entries"]
        assert [entry["action"] for entry in entries] == ["key.disabled", "key.created"]
        key_id = key.split("_")[2]
        assert (entries[0]["actor"], entries[0]["source"]) == (f"key:{key_id}", ADDRESS)
        (line,) = await it.events("admin_change")
        assert (line["operation"], line["status"], line["key_id"]) == ("disableKey", 200, record.key_id)
        assert (line["actor"], line["client_ip"]) == (f"key:{key_id}", ADDRESS)

    with_console(tmp_path, scenario)


def test_a_change_that_was_refused_has_its_line_too(tmp_path: Path) -> None:
    """With the code; and an id that could be anything is not repeated in the log."""

    async def scenario(it: Console) -> None:
        await it.ask("POST", "/keys/AAAAbbbb0000/revoke")
        await it.ask("POST", "/keys/no%20id/revoke")
        lines = await it.events("admin_change")
        assert [(line["status"], line["code"]) for line in lines] == [(404, "key_not_found")] * 2
        assert [line["key_id"] for line in lines] == ["AAAAbbbb0000", ""]

    with_console(tmp_path, scenario)


def test_the_use_of_an_admin_key_is_noted(tmp_path: Path) -> None:
    """As that of all others, in its grace too: nobody should end a key because it looks unused."""

    async def scenario(it: Console) -> None:
        record = await it.create(scopes=[ADMIN])
        await it.ask("POST", f"/keys/{record['key_id']}/rotate")
        assert (await it.ask("GET", "/keys", key=record["key"])).status_code == 200
        await it.world.app.uses.write(everything=True)
        report = (await it.ask("GET", f"/keys/{record['key_id']}/grace")).json()
        assert (report["calls"], report["safe_to_end"]) == (1, False)
        assert report["addresses"] == [{"address": ADDRESS, "calls": 1}]
        assert report["last_used"] == "2026-03-01T12:00:00Z"

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (StoreError("gone"), "store_unavailable"),
        (OverloadedError("full", retry_after=7), "overloaded"),
    ],
)
def test_a_login_that_cannot_be_checked_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str
) -> None:
    """503 with Retry-After; it is no failed login."""

    async def scenario(it: Console) -> None:
        async def fail(_text: bytes, **_asked: object) -> None:
            raise fault

        monkeypatch.setattr(it.world.app.parts.keys, "identify", fail)
        answer: httpx.Response = await it.ask("GET", "/keys")
        problem(answer, 503, code)
        assert answer.headers["retry-after"] == ("7" if code == "overloaded" else "1")
        assert it.counted() == {"unavailable": 1}
        assert await it.events("admin_login_failed") == []

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("client", [None, ("", 0)])
def test_whoever_comes_through_a_unix_socket_has_no_address(client: tuple[str, int] | None) -> None:
    """The audit log says so instead of nothing."""
    assert client_address(Request({"type": "http", "client": client})) == "unix"


def test_reading_keys_does_not_show_the_audit_log(tmp_path: Path) -> None:
    """And the other way round: the scopes are apart."""

    async def scenario(it: Console) -> None:
        readers = {scope: await it.key_with(scope) for scope in (KEYS_READ, AUDIT_READ)}
        statuses = [
            (await it.ask("GET", path, key=readers[scope])).status_code
            for scope in (KEYS_READ, AUDIT_READ)
            for path in ("/keys", "/audit", "/peppers")
        ]
        assert statuses == [200, 403, 200, 403, 200, 403]

    with_console(tmp_path, scenario)
