"""The image of extauth, built as it is for users: from the checkout, with every wheel held to its hash."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker.errors

from tests.integration.shipped import REPOSITORY

from . import debian
from .engine import Engine

EXTAUTH = "extauth:test"
_PUBLIC = "python:3.13-slim-bookworm"
_WHEELS = "deploy/wheels"
_PINS = REPOSITORY / "deploy" / "requirements"


def make(engine: Engine, client: Any, folder: Path) -> Mapping[str, str]:
    """Build the image, on the public ones if they can be had; return what compose.yaml is told of images."""
    arguments: dict[str, str] = {}
    others: Mapping[str, str] = {}
    if engine.own or not _pulled(client):
        with ThreadPoolExecutor(1) as beside:
            downloading = beside.submit(_download_wheels, folder)
            others = debian.make(client, folder)
            downloading.result()
        arguments = {name: others[name] for name in ("BASE_IMAGE", "BUILD_IMAGE")} | {"WHEELS": _WHEELS}
    client.images.build(
        path=str(REPOSITORY),
        dockerfile="deploy/Dockerfile",
        tag=EXTAUTH,
        buildargs=arguments,
        # With wheels at hand nothing else may be asked for.
        network_mode="none" if arguments else None,
        rm=True,
        forcerm=True,
    )
    return {**others, "EXTAUTH_IMAGE": EXTAUTH}


def _pulled(client: Any) -> bool:
    try:
        client.images.pull(_PUBLIC)
    except docker.errors.APIError:
        return False
    return True


def _download_wheels(folder: Path) -> None:
    """Fetch the wheels that are pinned, for whichever Python the image has."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--dest={REPOSITORY / _WHEELS}"]
    for group in ("run", "build"):
        # A condition is judged by the Python that runs this; the one in the image may be another.
        pins = re.sub(r" ; .*(?= \\$)", "", (_PINS / f"{group}.txt").read_text(), flags=re.MULTILINE)
        wanted = folder / f"{group}.txt"
        wanted.write_text(pins)
        command.append(f"--requirement={wanted}")
    subprocess.run(command, check=True)
