"""The doctor and the files with secrets that settings name: each mistake by its field, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauth.doctor.findings import Level
from extauth.settings.model import Settings
from tests.doctor.finding import PEPPER, level_of, looked_over

_TOKEN = b"a-token-that-is-long-enough\n"
_FILES = {
    "store.password_file": b"hunter2\n",
    "store.sentinel_password_file": b"hunter2\n",
    "store.ca_file": b"",
    "throttle.token_file": _TOKEN,
}


def naming(folder: Path, **changed: bytes | None) -> Settings:
    """Return settings that name all of these files, written as they should be or as `changed` has them."""
    sections: dict[str, dict[str, Any]] = {"store": {}, "throttle": {}, "keys": {"peppers": [PEPPER]}}
    # Nothing listens at the discard port: the store is not what these tests are about.
    sections["store"]["url"] = "rediss://127.0.0.1:9"
    for field, text in _FILES.items():
        section, name = field.split(".")
        file = folder / name
        held = changed.get(name, text)
        if held is not None:
            file.write_bytes(held)
            file.chmod(0o600)
        sections[section][name] = str(file)
    return Settings.model_validate(sections)


def test_files_as_they_should_be_are_well(tmp_path: Path) -> None:
    """Each was read, and none is told."""
    findings = looked_over(naming(tmp_path))
    assert level_of(findings, "secrets", "hold what they should (4)") is Level.OK
    assert "hunter2" not in repr(findings)


@pytest.mark.parametrize("field", _FILES)
def test_a_file_that_is_gone_is_told_by_its_field(tmp_path: Path, field: str) -> None:
    """With what to do; and it keeps nothing else from being told."""
    findings = looked_over(naming(tmp_path, **{field.split(".")[1]: None}))
    assert level_of(findings, "secrets", f"{field}: ") is Level.BAD
    (told,) = [one for one in findings if one.examination == "secrets"]
    assert (told.said.endswith("is no file."), told.mend) == (
        True,
        "Put it there, or name the one that is meant.",
    )
    assert level_of(findings, "security", "this machine alone") is Level.OK
    assert "fault of extauth" not in repr(findings)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("password_file", b"\n", "no password stands in it"),
        ("password_file", b"\xff\xfe", "is not UTF-8 text"),
        ("sentinel_password_file", b"", "no password stands in it"),
        ("token_file", b"", "a token needs at least"),
        ("token_file", b"two words that are long enough", "a token needs at least"),
        ("token_file", b"\xff" * 32, "is not UTF-8 text"),
    ],
)
def test_what_a_server_would_not_take_is_told(tmp_path: Path, name: str, text: bytes, said: str) -> None:
    """The file is there, and what stands in it is of no use."""
    findings = looked_over(naming(tmp_path, **{name: text}))
    assert level_of(findings, "secrets", said) is Level.BAD


def test_peppers_that_are_gone_are_told_by_their_field(tmp_path: Path) -> None:
    """Once, among the peppers, which are more than a file."""
    keys = {"peppers_file": str(tmp_path / "peppers")}
    store = {"url": f"sqlite:///{tmp_path / 'extauth.db'}"}
    findings = looked_over(Settings.model_validate({"keys": keys, "store": store}))
    assert (
        level_of(findings, "pepper", f"keys.peppers_file: {tmp_path / 'peppers'}: No such file") is Level.BAD
    )
    assert [one for one in findings if one.examination == "secrets"] == []
