"""The image by itself: what is in it, what it may do, and that it runs as it is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.integration.processes import wait_until

from .stack import ASK

_LARGEST_BYTES = 200_000_000
_SECOND_NS = 1_000_000_000
_HEALTHY_WITHIN = 90.0
_TOOLS = ["cc", "c++", "gcc", "g++", "clang", "ld", "as", "make", "curl", "wget"]


@contextlib.contextmanager
def _running(client: Any, image: str, **options: Any) -> Iterator[Any]:
    container = client.containers.run(image, detach=True, network_mode="none", **options)
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def _run(container: Any, *command: str) -> str:
    code, output = container.exec_run([*command])
    assert code == 0, output
    return bytes(output).decode()


@pytest.fixture(scope="module")
def container(client: Any, images: Mapping[str, str]) -> Iterator[Any]:
    """One with nothing set: no file, no right, nothing that can be written but the image's own volume."""
    options = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        # As the image has it, but sooner.
        "healthcheck": {"interval": _SECOND_NS},
    }
    with _running(client, images["EXTAUTH_IMAGE"], **options) as container:
        yield container


def _health(container: Any) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def test_it_is_small(client: Any, images: Mapping[str, str]) -> None:
    """Under 200 MB, with Python and all that is pinned."""
    assert client.images.get(images["EXTAUTH_IMAGE"]).attrs["Size"] < _LARGEST_BYTES


def test_it_runs_as_it_is_with_a_read_only_root(container: Any) -> None:
    """Its own health check finds it ready, and a key that is made in it passes, also after a restart."""
    wait_until(lambda: _health(container) == "healthy", within=_HEALTHY_WITHIN, what="healthy")
    made = json.loads(
        _run(container, "extauth", "keys", "create", "--user-id", "alice", "--name", "test", "--json")
    )
    assert _run(container, "python", "-c", ASK, made["key"]) == "200\n"
    container.restart()
    wait_until(lambda: _health(container) == "healthy", within=_HEALTHY_WITHIN, what="healthy again")
    assert _run(container, "python", "-c", ASK, made["key"]) == "200\n"
    assert _run(container, "python", "-c", ASK, "xa_live_none") == "401\n"


def test_it_is_nobody_and_holds_nothing_to_build_with(container: Any) -> None:
    """Neither root nor able to become it; no compiler, no download tool, no pip of its own, no wheels."""
    script = f"""
import importlib.util, os, pathlib, shutil
print(os.getuid(), os.getgid())
print([tool for tool in {_TOOLS} if shutil.which(tool)])
print(importlib.util.find_spec("pip"), list(pathlib.Path("/").glob("*/*.whl")))
print([name for name in ("/source", "/wheels", "/dist", "/build") if os.path.exists(name)])
"""
    assert _run(container, "python", "-c", script).splitlines() == ["10001 10001", "[]", "None []", "[]"]


def test_it_ends_when_it_is_told_to(client: Any, images: Mapping[str, str]) -> None:
    """SIGTERM is for extauth itself, which finishes and ends with 0."""
    with _running(client, images["EXTAUTH_IMAGE"], read_only=True) as container:
        wait_until(lambda: b'"started"' in container.logs(), within=_HEALTHY_WITHIN, what="started")
        container.stop(timeout=30)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0
        assert b'"stopped"' in container.logs()


def test_its_health_check_tells_a_server_that_is_not_ready(client: Any, images: Mapping[str, str]) -> None:
    """Where nothing listens it fails, and says why."""
    options = {"entrypoint": ["python", "/opt/extauth/healthcheck.py"]}
    with _running(client, images["EXTAUTH_IMAGE"], **options) as container:
        assert container.wait()["StatusCode"] == 1
        assert b"refused" in container.logs()
