"""The shipped proxy configurations, copied for a test with nothing changed but their ports."""

from __future__ import annotations

import re
import shutil
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

from .processes import Child, accepts

REPOSITORY = Path(__file__).resolve().parents[2]
# Which ports each shipped file names; the README files promise these to users.
ENVOY_FILES: Mapping[str, frozenset[int]] = {"envoy.yaml": frozenset({8080, 8082, 9000, 9002, 9901})}
NGINX_FILES: Mapping[str, frozenset[int]] = {
    "nginx.conf": frozenset({8081, 8082, 9000, 9002}),
    "extauth-http.conf": frozenset({9000}),
    "extauth.conf": frozenset(),
    "extauth-headers.conf": frozenset(),
    "extauth-security.conf": frozenset(),
    "extauth-signals.conf": frozenset({9002}),
}
_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=port_value: )\d+")


def with_ports(text: str, *, expected: frozenset[int], ports: Mapping[int, int]) -> str:
    """Replace the ports of a shipped file; an AssertionError if it names others than expected."""
    found = {int(port) for port in _PORT.findall(text)}
    assert found == expected, f"the file names the ports {sorted(found)}, expected {sorted(expected)}"
    return _PORT.sub(lambda port: str(ports[int(port[0])]), text)


def copy(folder: str, files: Mapping[str, frozenset[int]], *, to: Path, ports: Mapping[int, int]) -> None:
    """Copy the shipped files of one proxy, with the test's ports."""
    shipped = {path.name for path in (REPOSITORY / folder).iterdir() if path.suffix in {".yaml", ".conf"}}
    assert shipped == set(files), "a shipped file is not tested"
    for name, expected in files.items():
        text = (REPOSITORY / folder / name).read_text()
        (to / name).write_text(with_ports(text, expected=expected, ports=ports))


def envoy_program() -> str:
    """Return the path of Envoy: the wheel's beside this Python, else the one that the shell would find."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("envoy", path=scripts) or shutil.which("envoy")
    assert found is not None, "Envoy is missing: install the development dependencies"
    return found


def nginx_program() -> str:
    """Return the path of nginx, which Debian keeps out of the path of ordinary users."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    assert found is not None, "nginx is missing: install Debian's package `nginx`"
    return found


def _as_shipped(_file: Path) -> None:
    """Change nothing."""


def envoy(folder: Path, ports: Mapping[int, int], change: Callable[[Path], None] = _as_shipped) -> Child:
    """Return Envoy with the shipped configuration, or with what `change` makes of it; not started yet."""
    copy("envoy", ENVOY_FILES, to=folder, ports=ports)
    change(folder / "envoy.yaml")
    # Hot restart shares memory by a fixed number, which another Envoy on this machine may hold.
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return Child(
        [envoy_program(), "-c", "envoy.yaml", *options],
        log=folder / "envoy.log",
        folder=folder,
        ready=lambda: accepts(ports[8080]),
    )


def nginx(folder: Path, ports: Mapping[int, int], change: Callable[[Path], None] = _as_shipped) -> Child:
    """Return nginx, as `envoy` does; its worker must be able to enter the folder."""
    copy("nginx", NGINX_FILES, to=folder, ports=ports)
    change(folder / "nginx.conf")
    return Child(
        [nginx_program(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"],
        log=folder / "nginx.log",
        folder=folder,
        ready=lambda: accepts(ports[8081]),
    )
