"""Everything but decisions: structlog and the standard library in the same JSON lines."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from extauth.telemetry.logs import MASK
from tests.logs import ListedLines, logging_to


def test_a_structlog_line() -> None:
    """Time, level and event first, then what was given; times are UTC."""
    lines = ListedLines()
    with logging_to(lines):
        structlog.get_logger("x").info("started", port=9000, nothing=None)
    (line,) = lines.taken
    parsed = json.loads(line)
    assert list(parsed) == ["timestamp", "level", "event", "port", "nothing"]
    assert (parsed["level"], parsed["event"], parsed["port"], parsed["nothing"]) == (
        "info",
        "started",
        9000,
        None,
    )
    assert parsed["timestamp"].endswith("Z")
    assert line.endswith(b"}\n")


def test_a_line_of_the_standard_library() -> None:
    """Libraries speak through the same lines, with the name of their logger."""
    lines = ListedLines()
    with logging_to(lines):
        logging.getLogger("some.library").warning("careful: %d", 3)
    (event,) = lines.events("careful: 3")
    assert (event["level"], event["logger"]) == ("warning", "some.library")


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_holds_for_both(level: str, written: int) -> None:
    """Lines below it are not written."""
    lines = ListedLines()
    with logging_to(lines, level=level):
        for name in ("debug", "info", "warning", "error"):
            getattr(structlog.get_logger(), name)("ours")
            getattr(logging.getLogger("library"), name)("theirs")
    assert (len(lines.events("ours")), len(lines.events("theirs"))) == (written, written)


def test_a_traceback_stays_on_one_line() -> None:
    """A log reader takes one line for one event."""
    lines = ListedLines()
    with logging_to(lines):
        try:
            raise ValueError("two\nlines")  # noqa: TRY301 - a traceback is what this is about
        except ValueError:
            structlog.get_logger().exception("ours")
            logging.getLogger("library").exception("theirs")
    assert [line.count(b"\n") for line in lines.taken] == [1, 1]
    for name in ("ours", "theirs"):
        (event,) = lines.events(name)
        assert event["exception"].startswith("Traceback")
        assert event["exception"].endswith("ValueError: two\nlines")


def test_values_that_json_does_not_know_are_written_as_text() -> None:
    """A line is never lost because of what stands in it."""
    lines = ListedLines()
    with logging_to(lines):
        structlog.get_logger().info("odd", value=object, number=2**70, text="\ud800")
    assert len(lines.taken) == 1


def test_names_that_tell_of_secrets_are_masked() -> None:
    """Whatever their value is."""
    lines = ListedLines()
    with logging_to(lines):
        structlog.get_logger().info(
            "x", password="hunter2", api_key="k", apiKey="k", hashed_key="h", Authorization="a"
        )
    (event,) = lines.events("x")
    assert {event[name] for name in ("password", "api_key", "apiKey", "hashed_key", "Authorization")} == {
        MASK
    }


def test_uvicorns_small_talk_is_left_out() -> None:
    """Its warnings are not."""
    lines = ListedLines()
    with logging_to(lines, level="debug"):
        logging.getLogger("uvicorn.error").info("Started server process")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request")
    assert [json.loads(line)["event"] for line in lines.taken] == ["Invalid HTTP request"]
