"""Changes that hold for one version only, and creation that may be repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from extauth.model import ApiKey
from extauth.stores.base import AuditEntry
from tests.admin.console import NEW_KEY, Console, mistakes, problem, with_console
from tests.keys import entry

ACTIONS = ["update", "disable", "enable", "revoke", "rotate"]


async def act(it: Console, action: str, key_id: str, *if_match: str) -> httpx.Response:
    """Do something to a key under these conditions."""
    lines = [("if-match", value) for value in if_match]
    if action == "update":
        return await it.ask("PATCH", f"/keys/{key_id}", json={"name": "new"}, headers=lines)
    return await it.ask("POST", f"/keys/{key_id}/{action}", headers=lines)


async def prepared(it: Console, action: str) -> str:
    """Make a key of version 2 to which the action does something."""
    key_id: str = (await it.create())["key_id"]
    change = await it.ask("PATCH", f"/keys/{key_id}", json={"name": "second"})
    assert change.headers["etag"] == '"2"'
    if action == "enable":
        assert (await it.ask("POST", f"/keys/{key_id}/disable")).headers["etag"] == '"3"'
    return key_id


@pytest.mark.parametrize("action", ACTIONS)
def test_a_change_of_another_version_is_not_made(tmp_path: Path, action: str) -> None:
    """412 with the current ETag, and the key is as it was."""

    async def scenario(it: Console) -> None:
        key_id = await prepared(it, action)
        before = await it.ask("GET", f"/keys/{key_id}")
        refused = await act(it, action, key_id, '"1"')
        problem(refused, 412, "precondition_failed")
        assert refused.headers["etag"] == before.headers["etag"]
        assert (await it.ask("GET", f"/keys/{key_id}")).json() == before.json()

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("condition", [[], ["*"], ["CURRENT"], ['"1", CURRENT'], ['"1"', "CURRENT"]])
def test_a_change_of_the_current_version_is_made(tmp_path: Path, action: str, condition: list[str]) -> None:
    """So is one without a condition, with a star, and with a list that has it."""

    async def scenario(it: Console) -> None:
        key_id = await prepared(it, action)
        current = (await it.ask("GET", f"/keys/{key_id}")).headers["etag"]
        answer = await act(it, action, key_id, *(value.replace("CURRENT", current) for value in condition))
        assert answer.status_code == (201 if action == "rotate" else 200)

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    "condition", ['W/"2"', "2", '"02"', '"2', "", '*, "2"', '"2" "3"', '"2",', "* *", '"2 "', "'2'"]
)
def test_weak_and_malformed_tags_match_nothing(tmp_path: Path, condition: str) -> None:
    """If-Match compares strongly; what can't be read must not let a change through."""

    async def scenario(it: Console) -> None:
        key_id = await prepared(it, "update")
        problem(await act(it, "update", key_id, condition), 412, "precondition_failed")

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("condition", [[], ['"2"']])
def test_somebody_who_is_faster_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: list[str]
) -> None:
    """Between the look and the change: 412 under a condition; without one the newest version is changed."""

    async def scenario(it: Console) -> None:
        key_id = await prepared(it, "update")
        store = it.world.app.admin._services.service._store
        save = store.save
        raced = False

        async def slower(key: ApiKey, about: AuditEntry) -> None:
            nonlocal raced
            if not raced:
                raced = True
                stored = await store.get(key.key_id)
                assert stored is not None
                await save(replace(stored, tier="pro", version=3), entry(key.key_id))
            await save(key, about)

        monkeypatch.setattr(store, "save", slower)
        answer = await act(it, "update", key_id, *condition)
        if condition:
            problem(answer, 412, "precondition_failed")
            assert answer.headers["etag"] == '"3"'
        else:
            assert (answer.json()["version"], answer.json()["tier"], answer.json()["name"]) == (
                4,
                "pro",
                "new",
            )

    with_console(tmp_path, scenario, tiers={"pro": {"rates": ["10/second"]}})


def test_a_condition_on_a_key_that_is_not_there(tmp_path: Path) -> None:
    """Says that it is not there."""

    async def scenario(it: Console) -> None:
        problem(await act(it, "revoke", "AAAAbbbb0000", '"1"'), 404, "key_not_found")

    with_console(tmp_path, scenario)


async def repeat(it: Console, under: str, *, key: str | None = None, **asked: Any) -> httpx.Response:
    """Ask for a key under that name."""
    headers = {"idempotency-key": under}
    return await it.ask("POST", "/keys", headers=headers, json={**NEW_KEY, **asked}, key=key)


def test_a_repeated_creation_makes_one_key(tmp_path: Path) -> None:
    """The repetition is answered with the record and without the key, which nobody has any more."""

    async def scenario(it: Console) -> None:
        first = await repeat(it, "abc", scopes=["a:b"])
        assert first.status_code == 201
        assert "idempotency-replayed" not in first.headers
        second = await repeat(it, "abc", scopes=["a:b"])
        assert (second.status_code, second.headers["idempotency-replayed"]) == (200, "true")
        assert second.json() == {name: value for name, value in first.json().items() if name != "key"}
        for header in ("etag", "location"):
            assert second.headers[header] == first.headers[header]
        listed = (await it.ask("GET", "/keys", params={"user_id": "alice"})).json()["keys"]
        assert [key["key_id"] for key in listed] == [first.json()["key_id"]]
        assert (await repeat(it, "abd", scopes=["a:b"])).status_code == 201

    with_console(tmp_path, scenario)


def test_another_request_under_the_same_name_is_refused(tmp_path: Path) -> None:
    """422; names of other callers are other names."""

    async def scenario(it: Console) -> None:
        assert (await repeat(it, "abc")).status_code == 201
        assert list(mistakes(await repeat(it, "abc", name="other"))) == ["Idempotency-Key"]
        other = await it.key_with("extauth:admin")
        assert (await repeat(it, "abc", key=other, name="other")).status_code == 201

    with_console(tmp_path, scenario)


def test_a_creation_that_is_under_way_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """409, until the first one has left its record."""

    async def scenario(it: Console) -> None:
        store = it.world.app.admin._services.service._store

        async def never(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(store, "add", never)
            problem(await repeat(it, "abc"), 500, "internal_error")
        problem(await repeat(it, "abc"), 409, "conflict")

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("name", ["", "x" * 256, "tab\there"])
def test_the_name_of_a_request_is_bounded(tmp_path: Path, name: str) -> None:
    """And no key is made under one that can't be."""

    async def scenario(it: Console) -> None:
        assert list(mistakes(await repeat(it, name))) == ["Idempotency-Key"]
        assert (await it.ask("GET", "/keys", params={"user_id": "alice"})).json()["keys"] == []

    with_console(tmp_path, scenario)
