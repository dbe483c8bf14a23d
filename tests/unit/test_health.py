"""Health: parts start unwell, report themselves, and readiness is all of them together."""

from __future__ import annotations

import pytest

from extauth.health import STARTING, Health


def is_ready(health: Health) -> bool:
    """Ask anew: a type checker takes a property for what it was."""
    return health.ready


def test_parts_start_unwell() -> None:
    """A server is not ready before each part has said so."""
    health = Health("keys", "limits")
    assert not is_ready(health)
    assert health.parts == {"keys": STARTING, "limits": STARTING}
    health.report("keys")
    assert not is_ready(health)
    health.report("limits")
    assert health.parts == {"keys": "", "limits": ""}
    assert is_ready(health)


def test_one_part_that_fails_is_enough() -> None:
    """And it says what is wrong, until it works again."""
    health = Health("keys", "limits")
    health.report("keys")
    health.report("limits", "disk full")
    assert not is_ready(health)
    assert health.parts["limits"] == "disk full"
    health.report("limits")
    assert is_ready(health)


def test_a_change_is_told_once() -> None:
    """However often a part repeats itself; another problem is another change."""
    heard: list[tuple[str, str]] = []
    health = Health("keys", on_change=lambda part, problem: heard.append((part, problem)))
    for problem in ("", "", "gone", "gone", "still gone", "", ""):
        health.report("keys", problem)
    assert heard == [("keys", ""), ("keys", "gone"), ("keys", "still gone"), ("keys", "")]


def test_an_advisory_part_is_shown_and_keeps_nobody_from_being_ready() -> None:
    """It starts well; what is wrong with it stands on the page of a server that is ready."""
    heard: list[str] = []
    health = Health("keys", advisory=("config",), on_change=lambda part, _problem: heard.append(part))
    assert health.parts["config"] == ""
    health.report("keys")
    health.report("config", "line 3")
    assert is_ready(health)
    assert health.page()["parts"] == {"keys": "ok", "config": "line 3"}
    assert heard == ["keys"]


def test_nobody_reports_for_a_part_that_is_not_there() -> None:
    """A misspelt name would never make the server ready."""
    with pytest.raises(KeyError):
        Health("keys").report("kyes")


def test_the_parts_can_be_read_but_not_changed() -> None:
    """What is handed out is a copy."""
    health = Health("keys")
    dict(health.parts)["keys"] = ""
    assert not health.ready


def test_a_server_that_stops_is_not_ready() -> None:
    """With a reason of its own, beside parts that work; nobody hears of it as of a failure."""
    heard: list[tuple[str, str]] = []
    health = Health("keys", on_change=lambda part, problem: heard.append((part, problem)))
    health.report("keys")
    heard.clear()
    assert is_ready(health)
    assert "server" not in health.page()["parts"]
    health.stop()
    assert not is_ready(health)
    assert health.page() == {"parts": {"keys": "ok", "server": "stopping"}}
    assert heard == []
