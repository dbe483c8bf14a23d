"""What faults of the parts behind the admin API come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from extauth.admin.problems import problem_of
from extauth.errors import ConfigError, ConflictError, OverloadedError, StoreError
from tests.admin.console import NEW_KEY, Console, problem, with_console


@pytest.mark.parametrize(
    ("fault", "code", "retry_after"),
    [
        (StoreError("disk full at /var/lib"), "store_unavailable", "1"),
        (OverloadedError("queue full", retry_after=3), "overloaded", "3"),
    ],
)
def test_what_may_work_later_is_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: str, retry_after: str
) -> None:
    """With Retry-After, and without what only operators of the store should read."""

    async def scenario(it: Console) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise fault

        monkeypatch.setattr(it.world.app.admin._services.service, "create", fail)
        answer = await it.ask("POST", "/keys", json=NEW_KEY)
        problem(answer, 503, code)
        assert answer.headers["retry-after"] == retry_after
        assert "disk" not in answer.text
        assert it.counted() == {"unavailable": 1}
        (line,) = await it.events("admin_change")
        assert (line["status"], line["code"]) == (503, code)

    with_console(tmp_path, scenario)


def test_a_fault_is_500_and_logged_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted twice: among the requests, and among the faults of the listener."""

    async def scenario(it: Console) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise ZeroDivisionError("planted")

        monkeypatch.setattr(it.world.app.admin._services.service, "list", fail)
        answer = await it.ask("GET", "/keys")
        problem(answer, 500, "internal_error")
        assert "planted" not in answer.text
        assert it.counted() == {"fault": 1}
        assert it.world.app.counts.faults["admin"] == 1
        (line,) = await it.events("fault")
        assert line["exception"].endswith("ZeroDivisionError: planted")

    with_console(tmp_path, scenario)


def test_a_conflict_that_does_not_end_is_409(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without If-Match there is no condition that could have failed."""

    async def scenario(it: Console) -> None:
        made = await it.create()

        async def busy(*_: object, **__: object) -> None:
            raise ConflictError("key is being changed all the time")

        monkeypatch.setattr(it.world.app.admin._services.service, "disable", busy)
        answer = problem(await it.ask("POST", f"/keys/{made['key_id']}/disable"), 409, "conflict")
        assert answer["detail"] == "Key is being changed all the time."

    with_console(tmp_path, scenario)


def test_a_fault_that_is_nobodys_input_stays_one() -> None:
    """It must not be told to a caller as if they could do anything about it."""
    with pytest.raises(ConfigError):
        problem_of(ConfigError(["broken"]))


@pytest.mark.parametrize(
    "path",
    ["", "/", "/keys/", "/keys/a/b", "/keys/AAAAbbbb0000/", "/keys/AAAAbbbb0000/delete", "/users", "//keys"],
)
def test_paths_that_there_are_not(tmp_path: Path, path: str) -> None:
    """404 for everybody alike; no redirect guesses what was meant."""

    async def scenario(it: Console) -> None:
        for key in ("", it.key):
            answer = await it.ask("GET", path, key=key)
            problem(answer, 404, "not_found")

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/keys", "GET, HEAD, POST"),
        ("PUT", "/keys/AAAAbbbb0000", "GET, HEAD, PATCH"),
        ("GET", "/keys/AAAAbbbb0000/revoke", "POST"),
        ("POST", "/audit", "GET, HEAD"),
        ("OPTIONS", "/peppers", "GET, HEAD"),
    ],
)
def test_methods_that_there_are_not(tmp_path: Path, method: str, path: str, allow: str) -> None:
    """405 with those that there are, whoever asks."""

    async def scenario(it: Console) -> None:
        answer = await it.ask(method, path, key="")
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow

    with_console(tmp_path, scenario)
