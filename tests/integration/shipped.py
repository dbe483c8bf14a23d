"""The shipped proxy configurations, copied for a test with nothing changed but their ports."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from .processes import Child, accepts

REPOSITORY = Path(__file__).resolve().parents[2]
_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=port_value: )\d+|(?<=http://:)\d+|(?<=\"127\.0\.0\.1\", )\d+")


# What programs say of something that works but shouldn't be.
_COMPLAINTS = ("deprecated", "[warn]", '"level":"warn"', "[WARNING]")


class Shipped(NamedTuple):
    """One proxy's files, by their paths in its folder, with the ports that each names, as its README says.

    `command` runs it, `validate` has it look for mistakes; both in the folder of the copy. `ready` tells
    whether one that accepts connections is ready.
    """

    folder: str
    files: Mapping[str, frozenset[int]]
    ingress: int
    command: Callable[[Path], Sequence[str]]
    validate: Callable[[Path], Sequence[str]] | None
    ready: Callable[[int], bool] = lambda _: True

    @property
    def ports(self) -> frozenset[int]:
        """All ports that the files name."""
        return frozenset[int]().union(*self.files.values())


def all_ports() -> list[int]:
    """Return all ports that shipped files name."""
    return sorted(frozenset[int]().union(*(proxy.ports for proxy in PROXIES.values())))


def with_ports(text: str, *, expected: frozenset[int], ports: Mapping[int, int]) -> str:
    """Replace the ports of a shipped file; an AssertionError if it names others than expected."""
    found = {int(port) for port in _PORT.findall(text)}
    assert found == expected, f"the file names the ports {sorted(found)}, expected {sorted(expected)}"
    return _PORT.sub(lambda port: str(ports[int(port[0])]), text)


def copy(name: str, *, to: Path, ports: Mapping[int, int]) -> None:
    """Copy the shipped files of one proxy, with the test's ports."""
    shipped = PROXIES[name]
    source = REPOSITORY / shipped.folder
    there = {
        str(path.relative_to(source)) for path in source.rglob("*") if path.is_file() and path.suffix != ".md"
    }
    assert there == set(shipped.files), "a shipped file is not tested"
    for path, expected in shipped.files.items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        text = (source / path).read_text()
        (to / path).write_text(with_ports(text, expected=expected, ports=ports))


def _as_shipped(_file: Path) -> None:
    """Change nothing."""


def child(
    name: str, folder: Path, ports: Mapping[int, int], change: Callable[[Path], None] = _as_shipped
) -> Child:
    """Return a proxy with the shipped files, or with what `change` makes of the first; not started yet.

    Others must be able to enter the folder.
    """
    copy(name, to=folder, ports=ports)
    shipped = PROXIES[name]
    change(folder / next(iter(shipped.files)))
    return Child(
        shipped.command(folder),
        log=folder / f"{name}.log",
        folder=folder,
        ready=lambda: accepts(ports[shipped.ingress]) and shipped.ready(ports[shipped.ingress]),
        # Caddy keeps its state in the home directory.
        environment={**os.environ, "HOME": str(folder)},
    )


def require_accepted(name: str, folder: Path) -> None:
    """Have the program look at its files there; an AssertionError says what it complains of."""
    validate = PROXIES[name].validate
    assert validate is not None
    done = subprocess.run(
        validate(folder), cwd=folder, capture_output=True, text=True, timeout=20, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert [line for line in said.splitlines() if any(word in line for word in _COMPLAINTS)] == []


def _of_wheel(program: str) -> str:
    """Return a program's path: the wheel's beside this Python, else the one that the shell would find."""
    found = shutil.which(program, path=sysconfig.get_path("scripts")) or shutil.which(program)
    assert found is not None, f"{program} is missing: install the development dependencies"
    return found


def _of_debian(program: str) -> str:
    """Return the path of a program that Debian keeps out of the path of ordinary users."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{program} is missing: install Debian's package `{program}`"
    return found


def _has_routes(port: int) -> bool:
    """Tell whether Traefik has its routes, which come after it listens: till then all is a 404."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status != HTTPStatus.NOT_FOUND


def envoy_program() -> str:
    """Return the path of Envoy."""
    return _of_wheel("envoy")


def nginx_program() -> str:
    """Return the path of nginx."""
    return _of_debian("nginx")


def nginx_command(folder: Path, file: str = "nginx.conf") -> list[str]:
    """Return what runs nginx with a file of that folder."""
    return [nginx_program(), "-p", str(folder), "-c", str(folder / file), "-e", "stderr"]


# Hot restart shares memory by a fixed number, which another Envoy on this machine may hold.
ENVOY_OPTIONS = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
PLUGIN = "plugins-local/src/extauth.example/extauth"
_CADDY = ("--config", "Caddyfile", "--adapter", "caddyfile")

PROXIES: Mapping[str, Shipped] = {
    "envoy": Shipped(
        "envoy",
        {"envoy.yaml": frozenset({8080, 8082, 9000, 9002, 9901})},
        8080,
        lambda _: [envoy_program(), "-c", "envoy.yaml", *ENVOY_OPTIONS],
        lambda _: [envoy_program(), "--mode", "validate", "-c", "envoy.yaml"],
    ),
    "nginx": Shipped(
        "nginx",
        {
            "nginx.conf": frozenset({8081, 8082, 9000, 9002}),
            "extauth-http.conf": frozenset({9000}),
            "extauth.conf": frozenset(),
            "extauth-headers.conf": frozenset(),
            "extauth-security.conf": frozenset(),
            "extauth-signals.conf": frozenset({9002}),
        },
        8081,
        nginx_command,
        lambda folder: [*nginx_command(folder), "-t"],
    ),
    "traefik": Shipped(
        "deploy/traefik",
        {
            "traefik.yml": frozenset({8083}),
            "dynamic.yml": frozenset({8082, 9000, 9002}),
            f"{PLUGIN}/extauth.go": frozenset(),
            f"{PLUGIN}/go.mod": frozenset(),
            f"{PLUGIN}/.traefik.yml": frozenset({9000, 9002}),
        },
        8083,
        lambda _: [_of_wheel("traefik"), "--configFile=traefik.yml"],
        # It has no such mode.
        None,
        _has_routes,
    ),
    "caddy": Shipped(
        "deploy/caddy",
        {"Caddyfile": frozenset({8082, 8084, 9000, 9002})},
        8084,
        lambda _: [_of_wheel("caddy"), "run", *_CADDY],
        lambda _: [_of_wheel("caddy"), "validate", *_CADDY],
    ),
    "haproxy": Shipped(
        "deploy/haproxy",
        {"haproxy.cfg": frozenset({8082, 8085, 8086, 9000, 9002}), "extauth.lua": frozenset({8086})},
        8085,
        lambda _: [_of_debian("haproxy"), "-db", "-f", "haproxy.cfg"],
        lambda _: [_of_debian("haproxy"), "-c", "-f", "haproxy.cfg"],
    ),
}
