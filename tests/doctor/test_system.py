"""The doctor and the machine: limits of the system, listeners, files with secrets."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from extauth.doctor.findings import Level
from extauth.doctor.security import security_findings
from extauth.doctor.system import SystemLimits, system_findings
from extauth.settings.load import load_settings
from extauth.settings.model import ListenSettings, Settings
from tests.doctor.finding import PEPPER, level_of

_ENOUGH = SystemLimits(open_files=1 << 20, receive_buffer=4 << 20)


def test_enough_of_everything_is_well() -> None:
    """Also where the number of files has no bound."""
    unbounded = SystemLimits(resource.RLIM_INFINITY, 4 << 20)
    for limits in (_ENOUGH, unbounded):
        assert {one.level for one in system_findings(limits, ListenSettings())} == {Level.OK}


@pytest.mark.parametrize(("files", "level"), [(1_024, Level.BAD), (15_000, Level.WARN)])
def test_too_few_open_files(files: int, level: Level) -> None:
    """Fewer than one listener may hold are bad; two listeners want twice as many."""
    limits = SystemLimits(files, _ENOUGH.receive_buffer)
    assert level_of(system_findings(limits, ListenSettings()), "system", f"{files} files") is level


@pytest.mark.parametrize("allowed", [212_992, None])
def test_too_little_room_for_datagrams(allowed: int | None) -> None:
    """Linux's default is a twentieth of what is wanted."""
    limits = SystemLimits(_ENOUGH.open_files, allowed)
    assert level_of(system_findings(limits, ListenSettings()), "system", "datagrams") is Level.WARN


def test_the_limits_are_those_of_the_process() -> None:
    """Read where the system keeps them."""
    program = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (300, 300));"
        "from extauth.doctor.system import system_limits; print(system_limits().open_files)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 300


def secured(**sections: Any) -> Settings:
    """Return settings with these sections."""
    return Settings.model_validate(sections)


def test_the_defaults_are_well() -> None:
    """All listeners are this machine's."""
    assert {one.level for one in security_findings(secured(), None)} == {Level.OK}


@pytest.mark.parametrize("name", ["check", "admin", "completion"])
def test_a_listener_that_others_reach_is_told(name: str) -> None:
    """Each by its name; a unix socket is this machine's."""
    findings = security_findings(secured(listen={name: "0.0.0.0:9100"}), None)
    assert level_of(findings, "security", f"listen.{name}") is Level.WARN
    near = security_findings(secured(listen={name: f"unix:/run/extauth/{name}.sock"}), None)
    assert level_of(near, "security", "this machine alone") is Level.OK


def test_reports_from_everybody_are_bad() -> None:
    """Of some machines they are doubtful without a token, and well with one."""
    everybody = security_findings(secured(throttle={"sources": ["0.0.0.0/0"]}), None)
    assert level_of(everybody, "security", "admits everybody") is Level.BAD
    some: dict[str, Any] = {"sources": ["10.0.0.0/8"]}
    assert level_of(security_findings(secured(throttle=some), None), "security", "token") is Level.WARN
    some["token"] = "a-token-that-is-long-enough"
    assert "token" not in repr(security_findings(secured(throttle=some), None))


@pytest.mark.parametrize(
    ("text", "mode", "level"),
    [
        (f'keys: {{peppers: ["{PEPPER}"]}}', 0o600, Level.OK),
        (f'keys: {{peppers: ["{PEPPER}"]}}', 0o640, Level.OK),
        (f'keys: {{peppers: ["{PEPPER}"]}}', 0o644, Level.BAD),
        ('store: {url: "redis://u:hunter2@db"}\nkeys: {peppers_file: "{peppers}"}', 0o644, Level.BAD),
        ("throttle: {token: a-token-that-is-long-enough}", 0o604, Level.BAD),
        ("default_route: deny", 0o644, Level.OK),
        ("default_route: deny", 0o646, Level.BAD),
    ],
)
def test_the_configuration_and_its_secrets(tmp_path: Path, text: str, mode: int, level: Level) -> None:
    """Others may read one without secrets, and change none; no secret is told."""
    (tmp_path / "peppers").write_text(PEPPER.replace(" ", "-"))
    file = tmp_path / "extauth.yaml"
    file.write_text(text.replace("{peppers}", str(tmp_path / "peppers")))
    file.chmod(mode)
    findings = security_findings(load_settings(file, {}), file)
    words = str(file) if level is Level.BAD else "not open to everybody"
    assert level_of(findings, "security", words) is level
    assert PEPPER not in repr(findings)
    assert "hunter2" not in repr(findings)


def test_a_file_with_a_secret_that_others_may_read_is_bad(tmp_path: Path) -> None:
    """Whatever field names it."""
    file = tmp_path / "password"
    file.write_text("secret")
    file.chmod(0o644)
    settings = secured(store={"url": "redis://db", "password_file": str(file)}, keys={"peppers": [PEPPER]})
    assert level_of(security_findings(settings, None), "security", str(file)) is Level.BAD
    file.chmod(0o640)
    assert level_of(security_findings(settings, None), "security", "not open to everybody") is Level.OK
