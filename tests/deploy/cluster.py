"""The manifests for Kubernetes, as `kubectl apply -k` would send them to a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tempfile
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from extauth.server.draining import Patience
from extauth.settings.draining import DrainSettings

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS = sorted(folder.name for folder in (MANIFESTS / "overlays").iterdir())
GATEWAYS = sorted(folder.name for folder in (MANIFESTS / "gateways").iterdir())
NAME = "app.kubernetes.io/name"

# How long a process may take from SIGTERM to its end, unless its settings say another time.
DRAIN_SECONDS = Patience.of(DrainSettings()).whole
# What YAML holds; nothing here changes it.
Object = dict[str, Any]


@cache
def overlay(name: str) -> tuple[Object, ...]:
    """Return all objects of an overlay."""
    return build(MANIFESTS / "overlays" / name)


@cache
def gateway(name: str) -> tuple[Object, ...]:
    """Return all objects that attach extauth to a gateway."""
    return build(MANIFESTS / "gateways" / name)


def build(folder: Path) -> tuple[Object, ...]:
    """Build a kustomization with the kustomize that is in kubectl; an AssertionError shows its mistakes."""
    program = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    assert program is not None, "kubectl is missing: install the development dependencies"
    done = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    # A deprecated field is a warning on standard error.
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def own(name: str) -> tuple[Object, ...]:
    """Return all objects of a folder such as the guide's, on this overlay: it has the component `degrade`."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        shutil.copytree(MANIFESTS, copy)
        (copy / "mine").mkdir()
        (text,) = re.findall(r"```yaml\n(.*?)```", (MANIFESTS / "README.md").read_text(), re.DOTALL)
        text = textwrap.dedent(text).replace("../overlays/production", f"../overlays/{name}")
        (copy / "mine" / "kustomization.yaml").write_text(text)
        shutil.copy(MANIFESTS / "overlays" / "redis" / "extauth.yaml", copy / "mine")
        return build(copy / "mine")


def of_kind(objects: tuple[Object, ...], kind: str) -> Iterator[Object]:
    """Return those of a kind."""
    return (each for each in objects if each["kind"] == kind)


def named(objects: tuple[Object, ...], kind: str, name: str = "extauth") -> Object:
    """Return the one of that kind and name."""
    (found,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    return found


def pod(objects: tuple[Object, ...]) -> Object:
    """Return the specification of extauth's pods."""
    spec: Object = named(objects, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(objects: tuple[Object, ...]) -> Object:
    """Return the one container of such a pod."""
    (only,) = pod(objects)["containers"]
    found: Object = only
    return found


def settings_text(objects: tuple[Object, ...]) -> str:
    """Return what stands in extauth's file of settings."""
    (text,) = named(objects, "ConfigMap", "extauth-settings")["data"].values()
    return str(text)


def environment(objects: tuple[Object, ...]) -> dict[str, str]:
    """Return the environment variables that a pod sets."""
    return {each["name"]: each["value"] for each in container(objects)["env"]}
