"""Holds version and changelog against each other.

`python -m tests.release.version` says whether both name a release.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import extauth

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
_HEADING = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<date>\S+))?$", re.MULTILINE)
_FINAL = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the changelog: `name` is a version or `Unreleased`, `date` as written."""

    name: str
    date: str | None
    text: str


def sections(changelog: str) -> list[Section]:
    """Return the sections in the order of the file."""
    found = list(_HEADING.finditer(changelog))
    ends = [*(match.start() for match in found), len(changelog)][1:]
    return [
        Section(match["name"], match["date"], changelog[match.end() : end].strip())
        for match, end in zip(found, ends, strict=False)
    ]


def mistakes(version: str, changelog: str, *, released: bool) -> list[str]:
    """Return what is wrong with a version beside its changelog, in sentences; nothing if both agree.

    A version is final (`1.2.3`) and the newest of the changelog, with a date and nothing unreleased above it,
    or it is the `.dev0` of a later one while there is something unreleased. `released` asks for a final one.
    """
    found = sections(changelog)
    if not found or found[0].name != "Unreleased":
        return ["The changelog begins with a section [Unreleased]."]
    unreleased, *versions = found
    wrong = [wrong for section in versions for wrong in _unclear(section)]
    numbers = [_number(section.name) for section in versions]
    if numbers != sorted(set(numbers), reverse=True):
        wrong.append("The changelog's versions go down, each once.")
    newest = numbers[0] if numbers else ()
    final = version.removesuffix(".dev0")
    if not _FINAL.fullmatch(final):
        wrong.append(f"{version} is neither a version such as 1.2.3 nor its 1.2.3.dev0.")
    elif final != version:
        wrong += _under_way(version, _number(final), newest, unreleased, released=released)
    elif _number(final) != newest:
        wrong.append(f"The changelog's newest version is not {version}.")
    elif unreleased.text:
        wrong.append(f"What is unreleased belongs to {version}, or the version is a later one's .dev0.")
    return wrong


def _under_way(
    version: str, number: tuple[int, ...], newest: tuple[int, ...], unreleased: Section, *, released: bool
) -> list[str]:
    wrong = []
    if released:
        wrong.append(f"{version} is under way: a release has a final version.")
    if number <= newest:
        wrong.append(f"{version} is not later than the changelog's newest version.")
    if not unreleased.text:
        wrong.append(f"Nothing is unreleased, but {version} is under way.")
    return wrong


def _unclear(section: Section) -> list[str]:
    wrong = []
    if not _FINAL.fullmatch(section.name):
        wrong.append(f"[{section.name}] is not a version such as 1.2.3.")
    try:
        dt.date.fromisoformat(section.date or "")
    except ValueError:
        wrong.append(f"[{section.name}] has no date, such as - 2026-01-31.")
    if not section.text:
        wrong.append(f"[{section.name}] says nothing.")
    return wrong


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def main() -> None:
    """Exit with 1 and say why unless this version can be released."""
    wrong = mistakes(extauth.__version__, CHANGELOG.read_text(encoding="utf-8"), released=True)
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
