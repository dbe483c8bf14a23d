"""Each setting is either taken over by a reload or needs a restart, and the docs say which."""

from __future__ import annotations

import re

import pytest

from extauth.reload import NEEDS_RESTART, TAKEN_OVER, change_to, needs_restart
from tests.reloading import PEPPER, settings
from tests.unit.test_docs_settings import FIELDS, PAGE


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_is_taken_over_or_needs_a_restart(path: str) -> None:
    """Nobody adds a setting without deciding which."""
    top = path.replace("[]", "").split(".NAME")[0]
    listed = [name for name in NEEDS_RESTART | TAKEN_OVER if top == name or top.startswith(f"{name}.")]
    assert len(listed) == 1


def test_the_page_lists_what_needs_a_restart() -> None:
    """Exactly that, field by field."""
    section = PAGE.split("## Reload\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")]
    assert set(re.findall(r"`([^`]+)`", " ".join(rows))) == NEEDS_RESTART


def test_what_differs_is_named_and_sorted() -> None:
    """By field, never by value; what needs a restart keeps its old value, all else is new."""
    old = settings(keys={"peppers": [PEPPER]})
    new = settings(
        keys={"peppers": [PEPPER[::-1]], "per_user": 3, "cache": {"records": 5}},
        listen={"check": "127.0.0.1:9100"},
        failure={"deadline": "1s", "share": 0.5},
        default_route="deny",
        log={"level": "error", "file": "/tmp/other"},
    )
    change = change_to(new, from_old=old)
    assert set(change.taken_over) == {"default_route", "failure.share", "keys.per_user", "log.level"}
    assert set(change.waiting) == {
        "listen.check",
        "keys.peppers",
        "keys.cache.records",
        "failure.deadline",
        "log.file",
    }
    mixed = change.settings
    assert (mixed.default_route, mixed.failure.share, mixed.keys.per_user) == ("deny", 0.5, 3)
    assert (mixed.listen, mixed.keys.peppers, mixed.keys.cache) == (
        old.listen,
        old.keys.peppers,
        old.keys.cache,
    )
    assert (mixed.failure.deadline, mixed.log.file) == (old.failure.deadline, None)
    assert PEPPER not in repr(change)


def test_equal_settings_differ_in_nothing() -> None:
    """A reload of the same changes nothing."""
    assert change_to(settings(), from_old=settings())[1:] == ((), ())
    assert not needs_restart("proxy.methods")
