"""The unit for systemd, by systemd's own tools: it is understood, and it is locked in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from extauth.settings.load import load_settings
from extauth.settings.model import Settings
from tests.deploy.cluster import DRAIN_SECONDS, REPOSITORY

pytestmark = pytest.mark.servers
UNITS = REPOSITORY / "deploy" / "systemd"
# Of 100: systemd calls a unit "safe" below 20.
EXPOSURE = 11


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no running systemd for this."""
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: install Debian's package `systemd`"
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def directives(file: Path) -> Mapping[str, Sequence[str]]:
    """Return all values of each directive."""
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        name, is_one, value = line.partition("=")
        if is_one and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture(params=["alone", "redis.conf"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit as it is installed, by itself and with what changes it; with a program that is there."""
    text = (UNITS / "extauth.service").read_text()
    file = tmp_path / "extauth.service"
    file.write_text(text.replace("/opt/extauth/bin/extauth ", f"{sys.executable} -m extauth "))
    if request.param != "alone":
        (tmp_path / "extauth.service.d").mkdir()
        shutil.copy(UNITS / request.param, tmp_path / "extauth.service.d")
    return file


def test_systemd_understands_every_line(unit: Path) -> None:
    """It only warns of what it doesn't know, so a word of it is a mistake here."""
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("folder", [".", "extauth.service.d"])
def test_a_misspelled_line_is_found(tmp_path: Path, folder: str) -> None:
    """In the unit and in what changes it: else the test above could not fail."""
    (tmp_path / "extauth.service.d").mkdir()
    (tmp_path / "extauth.service").write_text(f"[Service]\nExecStart={sys.executable}\n")
    with (tmp_path / folder / ("extauth.service" if folder == "." else "redis.conf")).open("a") as file:
        file.write("\n[Service]\nProtectSistem=strict\n")
    assert "ProtectSistem" in analyze("verify", "--man=no", str(tmp_path / "extauth.service")).stderr


@pytest.mark.parametrize("name", ["check", "completion"])
def test_the_sockets_have_names_that_extauth_knows(unit: Path, name: str) -> None:
    """They are understood, belong to the service, and lie where the shipped proxies ask and report."""
    file = UNITS / f"extauth-{name}.socket"
    shutil.copy(file, unit.parent)
    done = analyze("verify", "--man=no", str(unit.parent / file.name), str(unit))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said = directives(file)
    assert (said["FileDescriptorName"], said["Service"]) == ([name], ["extauth.service"])
    (address,) = {*said["ListenStream"], *said.get("ListenDatagram", [])}
    assert address == str(getattr(Settings().listen, name))


def test_it_is_locked_in(unit: Path) -> None:
    """By the measure of `systemd-analyze security`, which tells what is missing."""
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout


def test_it_has_the_time_that_its_drain_takes() -> None:
    """And only the first process is told to end: workers that were told too would be replaced."""
    said = directives(UNITS / "extauth.service")
    assert float(*said["TimeoutStopSec"]) > DRAIN_SECONDS + 5
    assert said["KillMode"] == ["mixed"]
    assert said["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_secrets_are_credentials_that_extauth_finds(tmp_path: Path) -> None:
    """By variables that are settings; no secret stands in the unit, and none is read from elsewhere."""
    variables: dict[str, str] = {}
    for file in (UNITS / "extauth.service", UNITS / "redis.conf"):
        said = directives(file)
        loaded = [value.partition(":")[0] for value in said["LoadCredential"]]
        pairs = [value.split("=", 1) for value in said["Environment"]]
        files = {name: value for name, value in pairs if value.startswith("%d/")}
        assert [value.removeprefix("%d/") for value in files.values()] == loaded
        for name in loaded:
            (tmp_path / name).write_text("a secret that is long enough to be a pepper")
        variables |= {name: value.replace("%d", str(tmp_path)) for name, value in files.items()}
    settings = load_settings(None, {**variables, "EXTAUTH_STORE__URL": "redis://redis.example.com"})
    assert settings.keys.peppers_file == tmp_path / "pepper"
    assert settings.store.password_file == tmp_path / "redis-password"
