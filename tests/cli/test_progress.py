"""How far a long command has come: never in the way of what it prints."""

from __future__ import annotations

import sys

import pytest

from extauth.cli.progress import progress


def advance(total: int, *, quiet: bool = False) -> None:
    """Do nothing so many times."""
    with progress("Done", total, quiet=quiet) as done:
        for _ in range(total):
            done()


def test_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody watches there, and the mail of a nightly job holds what matters only."""
    advance(1_001)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the numbers, on stderr."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    advance(20)
    out, err = capsys.readouterr()
    assert out == ""
    assert "20/20" in err


def test_nothing_for_programs_and_nothing_about_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on a terminal either."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    advance(20, quiet=True)
    advance(0)
    assert capsys.readouterr() == ("", "")
