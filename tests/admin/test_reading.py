"""Bodies and queries that can't be understood are refused, with everything that is wrong about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from extauth.admin.reading import LARGEST_BODY
from extauth.admin.values import to_moment
from extauth.keys.rules import DEEPEST_METADATA
from tests.admin.console import NEW_KEY, Console, mistakes, problem, with_console

JSON = {"content-type": "application/json"}


def test_all_mistakes_of_shape_are_told_at_once(tmp_path: Path) -> None:
    """Each at its place, as a JSON pointer, in words that don't speak of Python."""

    async def scenario(it: Console) -> None:
        body = {
            "name": 5,
            "scopes": ["a:b", 7, None],
            "expires_at": "tomorrow",
            "expires_in": 90,
            "never": "yes",
            "limits": [],
            "metadata": "x",
            "odd/~name": 1,
        }
        assert mistakes(await it.ask("POST", "/keys", json=body)) == {
            "/user_id": "is needed",
            "/name": "must be text",
            "/scopes/1": "must be text",
            "/scopes/2": "must be text",
            "/expires_at": "must be a time such as 2027-01-31T00:00:00Z",
            "/expires_in": "'90' has no unit: write 90s for seconds (units: ms, s, m, h, d)",
            "/never": "must be true or false",
            "/limits": "must be an object",
            "/metadata": "must be an object",
            "/odd~1~0name": "is not known here",
        }

    with_console(tmp_path, scenario)


def test_all_mistakes_about_the_key_are_told_at_once(tmp_path: Path) -> None:
    """What the key service finds arrives in the same form."""

    async def scenario(it: Console) -> None:
        body = {
            "user_id": "two words",
            "name": "",
            "tier": "gold",
            "environment": "moon",
            "scopes": ["a b", "c::d"],
            "expires_at": "2020-01-01T00:00:00Z",
            "limits": {"rates": "many"},
            "metadata": {"x": "y" * 5_000},
        }
        answer = problem(await it.ask("POST", "/keys", json=body), 422, "invalid_input")
        assert [error["field"] for error in answer["errors"]] == [
            "/user_id", "/name", "/tier", "/environment", "/scopes", "/scopes", "/expires_at", "/limits",
            "/metadata",
        ]  # fmt: skip
        assert answer["errors"][2]["detail"] == "there is no tier 'gold'; there is default"

    with_console(tmp_path, scenario)


def test_the_lifetime_goes_by_the_name_that_it_has_here(tmp_path: Path) -> None:
    """The key service calls it otherwise."""

    async def scenario(it: Console) -> None:
        it.clock.advance(seconds=7_900 * 365 * 86_400)
        assert list(mistakes(await it.ask("POST", "/keys", json={**NEW_KEY, "expires_in": "36500d"}))) == [
            "/expires_in"
        ]

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'user_id': 'x'}",
        b'{"user_id": NaN}',
        b'{"user_id": "\xff"}',
        b'{"user_id": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 2_000,
        b'{"metadata": ' + b'{"a": ' * 32 + b"1" + b"}" * 33,
    ],
)
def test_what_is_no_json_is_malformed(tmp_path: Path, content: bytes) -> None:
    """400; so is what is nested so deep that answers couldn't hold it."""

    async def scenario(it: Console) -> None:
        problem(await it.ask("POST", "/keys", content=content, headers=JSON), 400, "malformed_body")

    with_console(tmp_path, scenario)


def test_the_deepest_metadata_that_is_taken_can_be_shown(tmp_path: Path) -> None:
    """In the record, in lists and in the audit log."""

    async def scenario(it: Console) -> None:
        deep: Any = 1
        for _ in range(DEEPEST_METADATA):
            deep = {"a": deep}
        made = await it.create(metadata=deep)
        assert made["metadata"] == deep
        for path in ("/keys", "/audit", f"/keys/{made['key_id']}"):
            assert (await it.ask("GET", path)).status_code == 200

    with_console(tmp_path, scenario)


@pytest.mark.parametrize("body", ["[]", '"text"', "null", "7", "true"])
def test_a_body_is_an_object(tmp_path: Path, body: str) -> None:
    """Other JSON is understood, and is not what was asked for."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("POST", "/keys", content=body, headers=JSON)
        assert mistakes(answer) == {"": "must be an object"}

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/problem+json"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
@pytest.mark.parametrize("path", ["/keys", "/keys/AAAAbbbb0000/revoke"])
def test_bodies_are_json(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    """415, and what is taken instead; also where the body could have been left out."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("POST", path, content=b"{}", headers=headers)
        problem(answer, 415, "unsupported_media_type")
        assert answer.headers["accept"] == "application/json"

    with_console(tmp_path, scenario)


def test_the_content_type_may_have_parameters(tmp_path: Path) -> None:
    """And is written in any case."""

    async def scenario(it: Console) -> None:
        headers = {"content-type": "Application/JSON; charset=utf-8"}
        answer = await it.ask("POST", "/keys", content=b'{"user_id":"a","name":"b"}', headers=headers)
        assert answer.status_code == 201

    with_console(tmp_path, scenario)


def test_a_body_is_read_up_to_its_bound(tmp_path: Path) -> None:
    """One that is just large enough is looked at; of a larger one, or one without end, no more is read."""

    async def scenario(it: Console) -> None:
        fitting = b'{"user_id":"a","name":"b"}'.ljust(LARGEST_BODY)
        assert (await it.ask("POST", "/keys", content=fitting, headers=JSON)).status_code == 201
        larger = await it.ask("POST", "/keys", content=fitting + b" ", headers=JSON)
        problem(larger, 413, "body_too_large")
        taken = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal taken
            while True:
                taken += 1
                yield b" " * 1_024

        problem(await it.ask("POST", "/keys", content=endless(), headers=JSON), 413, "body_too_large")
        assert taken <= LARGEST_BODY // 1_024 + 2

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/keys", "limit=0", "limit"),
        ("/keys", "limit=1001", "limit"),
        ("/keys", "limit=ten", "limit"),
        ("/keys", "limit=+5", "limit"),
        ("/keys", "limit=5.0", "limit"),
        ("/keys", "limit=%D9%A5", "limit"),
        ("/keys", "limit=5&limit=5", "limit"),
        ("/keys", "active=yes", "active"),
        ("/keys", "expiring_within=30", "expiring_within"),
        ("/keys", "expiring_within=", "expiring_within"),
        ("/keys", "unused_for=-1d", "unused_for"),
        ("/keys", "unused_since=2026-03-01", "unused_since"),
        ("/keys", "unused_since=2026-03-01T00:00:00Z&unused_for=1d", ""),
        ("/keys", "cursor=x", "cursor"),
        ("/keys", "user=x", "user"),
        ("/keys", "USER_ID=x", "USER_ID"),
        ("/keys/AAAAbbbb0000", "a=1", "a"),
        ("/keys/AAAAbbbb0000/grace", "a", "a"),
        ("/audit", "cursor=x", "cursor"),
        ("/audit", "key_id=a.b", "key_id"),
        ("/audit", "since=yesterday", "since"),
        ("/audit", "until=2026-02-30T00:00:00Z", "until"),
        ("/peppers", "limit=5", "limit"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(tmp_path: Path, path: str, query: str, field: str) -> None:
    """A misspelt filter must not show everything."""

    async def scenario(it: Console) -> None:
        if query == "a":
            answer = await it.ask("GET", f"{path}?a=")
        else:
            answer = await it.ask("GET", f"{path}?{query}")
        assert list(mistakes(answer, 400, "invalid_query")) == [field]

    with_console(tmp_path, scenario)


def test_changes_take_no_query(tmp_path: Path) -> None:
    """A parameter that nobody looks at could be one that matters to whoever sent it."""

    async def scenario(it: Console) -> None:
        answer = await it.ask("POST", "/keys?dry_run=true", json=NEW_KEY)
        assert list(mistakes(answer, 400, "invalid_query")) == ["dry_run"]

    with_console(tmp_path, scenario)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00+00:00"),
        ("2027-01-31t01:02:03z", "2027-01-31T01:02:03+00:00"),
        ("2027-01-31T00:00:00.999999999Z", "2027-01-31T00:00:00+00:00"),
        ("2027-01-31T00:00:00+02:30", "2027-01-30T21:30:00+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
    ],
)
def test_times_are_rfc_3339(text: str, moment: str) -> None:
    """With any offset, read as UTC, without fractions of a second."""
    assert to_moment(text).isoformat() == moment


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2027-01-31",
        "2027-01-31 00:00:00Z",
        "2027-01-31T00:00:00",
        "2027-01-31T00:00Z",
        "20270131T000000Z",
        "2027-02-29T00:00:00Z",
        "2027-01-31T24:00:01Z",
        "2027-01-31T00:00:60Z",
        "2027-W01-1T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٧-01-31T00:00:00Z",
        1_800_000_000,
        True,
        None,
    ],
)
def test_other_times_are_none(value: object) -> None:
    """No offset would leave open which time is meant."""
    with pytest.raises(ValueError, match="time"):
        to_moment(value)


def test_head_is_answered_as_get(tmp_path: Path) -> None:
    """Without a body, and with the same rights."""

    async def scenario(it: Console) -> None:
        made = await it.create()
        head = await it.ask("HEAD", f"/keys/{made['key_id']}")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", '"1"')
        assert (await it.ask("HEAD", "/keys", key="")).status_code == 401

    with_console(tmp_path, scenario)
