"""Answers taken apart strictly, and structured header fields (RFC 9651) parsed to the letter."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from extauth.dialects.base import Answer

# RFC 9110 section 5.6.2 for the name, section 5.5 for the value; ASCII is all that we send.
_LINE = re.compile(rb"([a-z0-9!#$%&'*+.^_`|~-]+): ((?:[!-~](?:[ -~]*[!-~])?)?)")


class Reply(NamedTuple):
    """An answer as a client library would give it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        """The problem body."""
        assert self.headers["content-type"] == "application/problem+json"
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code in the problem body; `allowed` where there is none."""
        return "allowed" if self.status == 200 else str(self.problem["code"])


def reply_of(answer: Answer) -> Reply:
    """Take an answer apart; an AssertionError where its head is no well-formed block of header lines."""
    *lines, end = answer.head.split(b"\r\n")
    assert end == b""
    headers: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        assert match is not None, line
        name = match[1].decode()
        assert name not in headers, name
        headers[name] = match[2].decode()
    return Reply(answer.status, headers, answer.body)


class Item(NamedTuple):
    """One member of a structured list: a bare item and its parameters."""

    value: str | int
    parameters: dict[str, str | int]


_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


def parse_list(text: str) -> list[Item]:
    """Parse a list of strings and integers with parameters (RFC 9651 section 4.2.1); else a ValueError."""
    items: list[Item] = []
    rest = text.strip(" ")
    while True:
        value, rest = _bare_item(rest)
        parameters: dict[str, str | int] = {}
        while rest.startswith(";"):
            rest = rest[1:].lstrip(" ")
            name, rest = _taken(_KEY, rest)
            if not rest.startswith("="):
                raise ValueError(f"not a structured list of ours: a parameter without value at {rest!r}")
            parameters[name[0]], rest = _bare_item(rest[1:])
        items.append(Item(value, parameters))
        if not rest:
            return items
        _, rest = _taken(_COMMA, rest)


def _bare_item(text: str) -> tuple[str | int, str]:
    if text.startswith('"'):
        match, rest = _taken(_STRING, text)
        return match[1], rest
    match, rest = _taken(_INTEGER, text)
    return int(match[0]), rest


def _taken(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str], str]:
    match = pattern.match(text)
    if match is None:
        raise ValueError(f"not a structured list at {text!r}")
    return match, text[match.end() :]
