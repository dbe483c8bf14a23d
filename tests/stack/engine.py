"""The engine that runs the containers: the one that answers here, else one of the tests' own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest

from tests.integration.processes import Child

# Debian keeps it, and what it runs, out of the path of ordinary users.
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
# Published ports are taken by a program of the engine's, so that nobody's firewall is touched.
_OPTIONS = (
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--userland-proxy=true",
    "--bridge=none",
)
_SECONDS = 120


class Engine(NamedTuple):
    """An engine that answers at `url`. One that is `own` has neither images nor a way to any registry."""

    url: str
    own: bool

    def client(self) -> Any:
        """Return a client of the engine, in the version that both know."""
        return docker.DockerClient(base_url=self.url, version="auto", timeout=_SECONDS)

    def environment(self) -> dict[str, str]:
        """Return what programs need to reach it."""
        return {**os.environ, "DOCKER_HOST": self.url}


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """Have an engine. Where there can be none, the tests are skipped, and say why."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker (Debian's package docker.io)")
    if shutil.which("docker-compose") is None and not _works("docker", "compose", "version"):
        pytest.skip("there is no Compose (Debian's package docker-compose)")
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if _answers(url):
        yield Engine(url, own=False)
        return
    if os.geteuid() != 0:
        pytest.skip("no Docker engine answers, and only root can start one")
    program = shutil.which("dockerd", path=_PATH)
    if program is None:
        pytest.skip("no Docker engine answers, and there is no dockerd (Debian's package docker.io)")
    folder = Path(tempfile.mkdtemp(prefix="extauth-engine-"))
    try:
        engine = Engine(f"unix://{folder}/socket", own=True)
        child = _child(program, engine, folder)
        child.start()
        try:
            yield engine
        finally:
            child.stop()
    finally:
        _unmount(folder)
        shutil.rmtree(folder)


def _child(program: str, engine: Engine, folder: Path) -> Child:
    command = [
        program,
        f"--host={engine.url}",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
        *_OPTIONS,
    ]
    return Child(
        command,
        log=folder / "log",
        folder=folder,
        ready=lambda: _answers(engine.url),
        environment={**os.environ, "PATH": _PATH},
    )


def _answers(url: str) -> bool:
    return _works("docker", "--host", url, "version")


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    """Take away what an engine leaves mounted that had to be killed."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
