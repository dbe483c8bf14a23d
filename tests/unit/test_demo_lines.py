"""How the demo shows extauth's log: decisions in columns and colour, nothing that a terminal would obey."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console
from rich.text import Text

from extauth.demo import lines
from extauth.demo.follow import Follower

ALLOWED: dict[str, Any] = {
    "timestamp": "2026-05-04T10:11:12.345678Z",
    "level": "info",
    "event": "decision",
    "outcome": "allowed",
    "code": "allowed",
    "dialect": "envoy",
    "method": "GET",
    "path": "/v1/orders",
    "key_id": "7Hq2mZ0aB9xK",
    "user_id": "alice",
    "client_ip": "127.0.0.1",
    "duration_us": 1234,
}
REFUSED = ALLOWED | {
    "outcome": "unauthenticated",
    "code": "invalid_key",
    "user_id": "",
    "reason": "the key was revoked",
}


def _shown(fields: dict[str, Any]) -> Text:
    text = lines.shown(orjson.dumps(fields))
    assert text is not None
    return text


def _log(folder: Path) -> tuple[Path, Console, io.StringIO]:
    log, output = folder / "extauth.log", io.StringIO()
    log.touch()
    return log, Console(file=output, width=40), output


def test_a_decision_shows_what_matters() -> None:
    """One line says when, what, through which proxy, who, from where and how long it took."""
    words = _shown(ALLOWED).plain.split()
    assert re.fullmatch(r"\d\d:\d\d:12\.345", words[0])  # in the time zone of this machine
    assert words[1:] == [
        "200",
        "allowed",
        "envoy",
        "GET",
        "/v1/orders",
        "alice",
        "7Hq2mZ0aB9xK",
        "127.0.0.1",
        "1.23",
        "ms",
    ]


def test_a_refusal_says_why() -> None:
    """The operator sees the reason that the caller is not told, and a dash where nobody is known."""
    plain = _shown(REFUSED).plain
    assert " 401 invalid_key " in plain
    assert " -  " in plain
    assert plain.endswith("  the key was revoked")


def test_columns_stand_below_their_headings() -> None:
    """The table stays readable: each value begins where its heading does."""
    heading, line = lines.heading().plain, _shown(ALLOWED).plain
    for title, value in (
        ("code", "200"),
        ("proxy", "envoy"),
        ("path", "/v1"),
        ("user", "alice"),
        ("client", "127"),
    ):
        assert heading.index(title) == line.index(value)


@pytest.mark.parametrize(
    ("outcome", "colour"),
    [
        ("allowed", "green"),
        ("ambiguous", "blue"),
        ("unauthenticated", "yellow"),
        ("forbidden", "magenta"),
        ("limited", "cyan"),
        ("unavailable", "bold red"),
    ],
)
def test_every_outcome_has_its_colour(outcome: str, colour: str) -> None:
    """Refusals are told apart at a glance."""
    assert colour in {span.style for span in _shown(ALLOWED | {"outcome": outcome}).spans}


def test_escape_sequences_are_not_obeyed() -> None:
    """A client can't write to the operator's terminal through its path."""
    path = "/\x1b[2J\x07\u202e"
    assert _shown(ALLOWED | {"path": path}).plain.split()[5] == "/·[2J··"


def test_a_long_path_keeps_the_columns_in_place() -> None:
    """What is too long for its column is cut, visibly."""
    plain = _shown(ALLOWED | {"path": "/" + "a" * 3000}).plain
    assert len(plain) == len(_shown(ALLOWED).plain)
    assert "aaa…  alice" in plain


def test_warnings_are_shown_and_the_rest_is_not() -> None:
    """A fault of extauth is seen in the demo; that it started is not worth a line."""
    fault = _shown({"timestamp": "2026-05-04T10:11:12Z", "level": "error", "event": "fault"})
    assert fault.plain.endswith("extauth: error: fault (more in the log)")
    assert lines.shown(b'{"level":"info","event":"started"}') is None


@pytest.mark.parametrize("line", [b"", b"Traceback (most recent call last):", b"[1]", b'{"event": "dec'])
def test_what_is_no_log_line_is_passed_over(line: bytes) -> None:
    """Anything else that a program may print doesn't end the demo."""
    assert lines.shown(line) is None


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    """A line that is just being written is shown once, whole, and unwrapped in a narrow terminal."""
    log, console, output = _log(tmp_path)
    line = orjson.dumps(ALLOWED) + b"\n"
    with Follower(log, console) as follower:
        log.write_bytes(line[:50])
        follower.show_new()
        assert output.getvalue() == ""
        log.write_bytes(line)
        follower.show_new()
        follower.show_new()
    assert output.getvalue().count("\n") == 1
    assert "alice" in output.getvalue()


def test_a_flood_is_cut_to_its_end(tmp_path: Path) -> None:
    """A load generator can't make the terminal fall behind: of very many lines the last are shown."""
    log, console, output = _log(tmp_path)
    users = [orjson.dumps(ALLOWED | {"user_id": f"user{number}"}) for number in range(1000)]
    log.write_bytes(b"\n".join([*users, b""]))
    with Follower(log, console) as follower:
        follower.show_new()
    shown = output.getvalue().splitlines()
    assert shown[0].startswith("… 900 more lines, ")
    assert "user900" in shown[1]
    assert "user999" in shown[-1]
