"""Every log line that the program can write is documented, with its level and its fields."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import extauth
from tests.unit.test_docs import page, rows, sections

_LEVELS = {"debug", "info", "warning", "error", "critical"}
_EVENT = re.compile(r"[a-z]+(_[a-z]+)*")


class Written(NamedTuple):
    """A place at which a line is written: its event, its level where that stands there, its fields."""

    event: str
    level: str
    fields: frozenset[str]


def calls() -> Iterator[ast.Call]:
    """Return all calls in the package."""
    for file in Path(extauth.__file__).parent.rglob("*.py"):
        yield from (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    """Return the name of what is called, without the object that it belongs to."""
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def written() -> Iterator[Written]:
    """Return what the source says, also where the event is handed to a function that logs it."""
    for call in calls():
        name, texts = name_of(call), [one.value for one in call.args if isinstance(one, ast.Constant)]
        fields = frozenset(one.arg for one in call.keywords if one.arg and one.arg != "exc_info")
        if name in _LEVELS | {"log"} and texts and isinstance(texts[0], str):
            yield Written(texts[0], name if name in _LEVELS else "", fields)
        elif name in {"_end", "refuse"}:
            yield from (Written(text, "", frozenset()) for text in texts if isinstance(text, str))


def documented() -> dict[str, tuple[list[str], set[str]]]:
    """Return levels and fields of each event that the manual lists; of several in a row, each."""
    found = {}
    for row in rows(sections(page("metrics"))["Log lines"]):
        events, levels = re.findall(r"`(\w+)`", row[0]), row[1].split(", ")
        for number, event in enumerate(events):
            own = [levels[number]] if len(events) == len(levels) else levels
            found[event] = (own, {*re.findall(r"`(\w+)`", row[2])})
    return found


WRITTEN = [one for one in written() if _EVENT.fullmatch(one.event)]
DOCUMENTED = documented()


def test_events_that_are_handed_on_are_found() -> None:
    """Wherever an event is a variable, those who fill it are looked at: nothing else logs like that."""
    passing = {
        name_of(call)
        for call in calls()
        if name_of(call) in _LEVELS and call.args and isinstance(call.args[0], ast.Name)
    }
    assert passing == {"info", "warning"}
    assert {"ban_ended", "ban_lifted", "admin_login_failed"} <= {one.event for one in WRITTEN}


def test_every_event_is_documented_and_no_other() -> None:
    """An operator who finds one looks it up here."""
    assert {one.event for one in WRITTEN} == DOCUMENTED.keys()


@pytest.mark.parametrize("line", WRITTEN, ids=lambda one: one.event)
def test_level_and_fields_are_those_that_are_documented(line: Written) -> None:
    """At each place that writes it."""
    levels, fields = DOCUMENTED[line.event]
    assert not line.level or line.level in levels
    assert line.fields <= fields


def test_optional_fields_of_decisions_are_documented() -> None:
    """Those that stand there only where there is something to say."""
    text = sections(page("metrics"))["Log lines"]
    for name in ("reason", "violated", "shadowed", "degraded", "trace_id"):
        assert f"`{name}`" in text
