"""Images made of Debian's packages: they stand in for the public ones where no registry can be reached."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

# What Debian's packages make when they are installed, which unpacking leaves out.
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nredis:x:999:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_FOLDERS = {"root": 0, "proc": 0, "sys": 0, "dev": 0, "run": 0, "tmp": 0, "data": 999}
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_BASE = "extauth-stand-in:base"
_PROGRAMS = "extauth-stand-in:programs"
# All that extauth needs: not even a shell.
_BASE_PACKAGES = ("python3",)
_PROGRAM_PACKAGES = (
    "python3-pip",
    "dash",
    "bash",
    "coreutils",
    "grep",
    "redis-server",
    "nginx",
    "prometheus",
)
# By the names that compose.yaml and the Dockerfile have for them.
IMAGES = {"BASE_IMAGE": _BASE} | dict.fromkeys(
    ("BUILD_IMAGE", "REDIS_IMAGE", "ENVOY_IMAGE", "NGINX_IMAGE", "PROMETHEUS_IMAGE"), _PROGRAMS
)


def make(client: Any, folder: Path) -> Mapping[str, str]:
    """Make the images; return them under the names of the variables that take them.

    Where that is impossible, the tests are skipped, and say why.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("no public image can be pulled, and there are no Debian packages here to make others of")
    root, archives = folder / "root", folder / "archives"
    _prepare(root)
    (archives / "partial").mkdir(parents=True)
    _unpack(_downloaded(_BASE_PACKAGES, archives), root)
    _import(client, root, _BASE)
    _unpack(_downloaded(_BASE_PACKAGES + _PROGRAM_PACKAGES, archives), root)
    shutil.copy2(_envoy(), root / "usr/bin/envoy")
    _import(client, root, _PROGRAMS)
    return IMAGES


def _prepare(root: Path) -> None:
    # As Debian has it, where some packages still have files in both.
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc").mkdir()
    for name, text in _FILES.items():
        (root / name).write_text(text)
    for name, owner in _FOLDERS.items():
        (root / name).mkdir()
        shutil.chown(root / name, owner, owner)
    (root / "tmp").chmod(0o1777)


def _downloaded(packages: Sequence[str], archives: Path) -> list[Path]:
    """Fetch the packages with all that they need, as if nothing were installed; return those that are new."""
    before = {*archives.glob("*.deb")}
    status = archives / "status"
    status.touch()
    command = [
        "apt-get",
        f"--option=Dir::State::status={status}",
        f"--option=Dir::Cache::archives={archives}",
        "--option=APT::Sandbox::User=root",
        "--download-only",
        "--yes",
        "--quiet=2",
        "--no-install-recommends",
        "install",
        *packages,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        # What it knows of packages is missing or out of date.
        subprocess.run(["apt-get", "--quiet=2", "update"], check=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted({*archives.glob("*.deb")} - before)


def _unpack(packages: Sequence[Path], root: Path) -> None:
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as contents:
            into = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root)]
            subprocess.run(into, stdin=contents.stdout, check=True)


def _envoy() -> Path:
    """Return the program that the wheel brings."""
    package = importlib.util.find_spec("envoy")
    assert package is not None, "Envoy is missing: install the development dependencies"
    assert package.origin is not None
    return Path(package.origin).parent / "_bin" / "envoy"


def _import(client: Any, root: Path, name: str) -> None:
    archive = root.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".")
    repository, _, tag = name.partition(":")
    client.api.import_image_from_file(str(archive), repository, tag, changes=[f"ENV {_PATH}"])
    archive.unlink()
