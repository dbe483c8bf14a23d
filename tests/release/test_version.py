"""What is published says which version it is, and what changed in it."""

from __future__ import annotations

import pytest

import extauth
from tests.release.version import CHANGELOG, mistakes

RELEASED = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-02-03

### Added
- More.

## [1.0.0] - 2026-01-02

### Added
- Something.
"""
UNDER_WAY = RELEASED.replace("## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n- A mistake.\n")


def test_version_and_changelog_of_this_package_agree() -> None:
    """Nobody installs a version whose changes stand nowhere."""
    assert mistakes(extauth.__version__, CHANGELOG.read_text(encoding="utf-8"), released=False) == []


@pytest.mark.parametrize(
    ("version", "changelog"),
    [("1.1.0", RELEASED), ("1.2.0.dev0", UNDER_WAY), ("1.1.1.dev0", UNDER_WAY), ("1.10.0.dev0", UNDER_WAY)],
)
def test_what_agrees_passes(version: str, changelog: str) -> None:
    """A release, and the way to the next one."""
    assert mistakes(version, changelog, released=version == "1.1.0") == []


@pytest.mark.parametrize(
    ("version", "changelog", "expected"),
    [
        ("1.2.0", RELEASED, "The changelog's newest version is not 1.2.0."),
        ("1.0.0", RELEASED, "The changelog's newest version is not 1.0.0."),
        ("1.1.0", UNDER_WAY, "What is unreleased belongs to 1.1.0, or the version is a later one's .dev0."),
        ("1.1.0.dev0", UNDER_WAY, "1.1.0.dev0 is not later than the changelog's newest version."),
        ("1.2.0.dev0", RELEASED, "Nothing is unreleased, but 1.2.0.dev0 is under way."),
        ("1.2", RELEASED, "1.2 is neither a version such as 1.2.3 nor its 1.2.3.dev0."),
        ("1.1.0", RELEASED.replace(" - 2026-02-03", ""), "[1.1.0] has no date, such as - 2026-01-31."),
        ("1.1.0", RELEASED.replace("02-03", "02-30"), "[1.1.0] has no date, such as - 2026-01-31."),
        ("1.1.0", RELEASED.replace("### Added\n- More.\n", ""), "[1.1.0] says nothing."),
        ("1.1.0", RELEASED.replace("[1.0.0]", "[1.2.0]"), "The changelog's versions go down, each once."),
        ("1.1.0", RELEASED.replace("[1.0.0]", "[first]"), "[first] is not a version such as 1.2.3."),
        ("1.1.0", "# Changelog\n", "The changelog begins with a section [Unreleased]."),
    ],
)
def test_what_does_not_agree_is_named(version: str, changelog: str, expected: str) -> None:
    """Each mistake has its sentence."""
    assert mistakes(version, changelog, released=False) == [expected]


def test_what_is_under_way_is_no_release() -> None:
    """`make release` goes no further."""
    assert mistakes("1.2.0.dev0", UNDER_WAY, released=True) == [
        "1.2.0.dev0 is under way: a release has a final version."
    ]
