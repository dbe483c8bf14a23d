from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from . import shipped
from .processes import free_ports


def _ports() -> dict[int, int]:
    shipped_ports = (8080, 8081, 8082, 9000, 9002, 9901)
    return dict(zip(shipped_ports, free_ports(len(shipped_ports)), strict=True))


def test_envoy_accepts_the_shipped_file(tmp_path: Path) -> None:
    """The real Envoy finds no mistake in envoy.yaml, and no field that it calls deprecated."""
    shipped.copy("envoy", shipped.ENVOY_FILES, to=tmp_path, ports=_ports())
    command = [shipped.envoy_program(), "--mode", "validate", "-c", str(tmp_path / "envoy.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr


def test_nginx_accepts_the_shipped_files(tmp_path: Path) -> None:
    """The real nginx finds no mistake in nginx.conf and its includes, and has nothing to warn about."""
    shipped.copy("nginx", shipped.NGINX_FILES, to=tmp_path, ports=_ports())
    command = [
        shipped.nginx_program(),
        "-t",
        "-p",
        str(tmp_path),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-e",
        "stderr",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_a_port_that_moved_is_noticed() -> None:
    """A shipped file whose ports changed fails the tests instead of running on somebody else's port."""
    with pytest.raises(AssertionError, match=r"names the ports \[8080\]"):
        shipped.with_ports("listen 127.0.0.1:8080;", expected=frozenset({8081}), ports={8080: 1})
