"""The wheel and the source archive: what is in them, and that they work where the checkout isn't."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import extauth

REPOSITORY = Path(__file__).parents[2]
PINS = REPOSITORY / "deploy" / "requirements" / "run.txt"
# What users copy travels with the wheel, for `extauth demo` and for the pages at /docs/.
TAKEN_ALONG = {
    "envoy": "extauth/proxies/files/envoy",
    "nginx": "extauth/proxies/files/nginx",
    "deploy/traefik": "extauth/proxies/files/traefik",
    "deploy/caddy": "extauth/proxies/files/caddy",
    "deploy/haproxy": "extauth/proxies/files/haproxy",
    "docs/examples": "extauth/docs/samples",
}


@dataclass(frozen=True, slots=True)
class Built:
    """Where a wheel and a source archive are."""

    wheel: Path
    archive: Path


def built(source: Path, target: Path, *kinds: str) -> None:
    """Build as `make build` does, at a fixed time."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(target), *kinds],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build both from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    built(REPOSITORY, folder)
    (wheel,) = folder.glob("*.whl")
    (archive,) = folder.glob("*.tar.gz")
    return Built(wheel, archive)


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(files: Mapping[str, bytes]) -> Message:
    """Return the wheel's METADATA."""
    (name,) = [name for name in files if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(files[name].decode())


def test_the_wheel_holds_the_package_and_what_users_copy(published: Built) -> None:
    """No page, script or configuration is missing after `pip install`, and nothing else comes with it."""
    package = Path(extauth.__file__).parent
    expected = {f"extauth/{file.relative_to(package)}" for file in package.rglob("*") if file.is_file()}
    for source, place in TAKEN_ALONG.items():
        folder = REPOSITORY / source
        expected |= {f"{place}/{file.relative_to(folder)}" for file in folder.rglob("*") if file.is_file()}
    expected = {name for name in expected if "__pycache__" not in name}
    names = {name for name in contents(published.wheel) if ".dist-info/" not in name}
    assert names == expected


def test_the_wheel_says_what_it_is(published: Built) -> None:
    """Version, licence and the types are found by those who look for them."""
    files = contents(published.wheel)
    told = metadata(files)
    assert told["Version"] == extauth.__version__
    assert told["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("/licenses/LICENSE") for name in files)
    assert "extauth/py.typed" in files


def test_all_that_the_wheel_asks_for_is_pinned(published: Built) -> None:
    """An image made of the pins misses nothing when the wheel is installed without looking at its needs."""
    asked = {
        line.split(">=")[0].split("[")[0]
        for line in metadata(contents(published.wheel)).get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
    pinned = {line.split("==")[0] for line in PINS.read_text().splitlines() if line[:1].isalpha()}
    assert asked
    assert asked <= pinned


def test_the_source_archive_builds_the_same_wheel(published: Built, tmp_path: Path) -> None:
    """Who builds from source runs what was tested, byte for byte."""
    with tarfile.open(published.archive) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    built(source, tmp_path / "again", "--target", "wheel")
    assert (tmp_path / "again" / published.wheel.name).read_bytes() == published.wheel.read_bytes()
    assert (source / "tests" / "release").is_dir()


def test_the_wheel_works_without_the_checkout(published: Built, tmp_path: Path) -> None:
    """Nothing of the package is looked for beside it."""
    for name, content in contents(published.wheel).items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "extauth", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    assert extauth.__version__ in run("--version")
    assert run("config", "check")
    assert run("proxy", "haproxy")
    key = run("keys", "create", "--user-id", "alice", "--name", "laptop", "--json")
    assert '"key"' in key
    where = subprocess.run(
        [sys.executable, "-c", "import extauth; print(extauth.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(tmp_path / "site"))
