"""The shipped configurations of Envoy and nginx for containers: host names in place of loopback addresses.

Run as `python -m extauth.demo.containers FOLDER --upstream HOST --extauth HOST …`. deploy/compose.yaml has
the image do so before the proxies start, so that theirs are the configurations of the version that they ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from extauth.demo.errors import DemoError
from extauth.demo.ports import Ports
from extauth.proxies.shipped import shipped_files

_PORTS = Ports()
_ADDRESS = re.compile(r"127\.0\.0\.1(?::|, port_value: )(?P<port>\d+)")
# Listed once for each server; in other lines one stands for all.
_SERVER_LINES = ("server ", "- endpoint: ")
_NGINX_SERVER = re.compile(r"^ *server \S+(?=;)")
_ON_ERROR = "proxy_next_upstream error;"
_PROXIES = ("envoy", "nginx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The names of the containers: of all extauth, and of the API."""

    extauth: Sequence[str]
    upstream: str


def with_hosts(text: str, hosts: Hosts, *, file: str) -> str:
    """Return the text of a shipped file that listens to all, and reaches extauth and the API by their names.

    Raises:
        DemoError: The text names a port that nobody knows; `file` is what the message calls it.
    """
    lines = (one for line in text.splitlines(keepends=True) for one in _changed(line, hosts, file))
    # Names are looked up; addresses would do with either.
    changed = "".join(lines).replace("type: STATIC", "type: STRICT_DNS")
    # A container that is gone refuses no connection: it doesn't answer. See nginx/README.md.
    return changed if len(hosts.extauth) == 1 else changed.replace(_ON_ERROR, f"{_ON_ERROR[:-1]} timeout;")


def _changed(line: str, hosts: Hosts, file: str) -> Iterator[str]:
    found = _ADDRESS.search(line)
    bare = line.lstrip()
    if found is None or bare.startswith("#"):
        yield line
        return
    names = _names(int(found["port"]), hosts, file)
    for name in names if bare.startswith(_SERVER_LINES) else names[:1]:
        yield _patient(line.replace("127.0.0.1", name), alone=len(names) == 1)


def _names(port: int, hosts: Hosts, file: str) -> Sequence[str]:
    if port in {_PORTS.check, _PORTS.completion}:
        return hosts.extauth
    if port == _PORTS.upstream:
        return [hosts.upstream]
    if port in {_PORTS.envoy, _PORTS.nginx}:
        return ["0.0.0.0"]  # noqa: S104 - in a container
    if port == _PORTS.envoy_admin:
        return ["127.0.0.1"]
    raise DemoError(f"{file} names a port that no container has: {port}")


def _patient(line: str, *, alone: bool) -> str:
    """Leave a server that failed alone for a second only, so that it is asked again once it is back."""
    return line if alone else _NGINX_SERVER.sub(r"\g<0> fail_timeout=1s", line)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--upstream", required=True, help="The host of the API.")
@click.option("--extauth", "servers", required=True, multiple=True, help="The host of one extauth.")
def main(folder: Path, upstream: str, servers: Sequence[str]) -> None:
    """Write the shipped files of each proxy into a folder of its own."""
    hosts = Hosts(extauth=servers, upstream=upstream)
    for proxy in _PROXIES:
        inner = folder / proxy
        inner.mkdir(exist_ok=True)
        for name, text in shipped_files(proxy).items():
            (inner / name).write_text(with_hosts(text, hosts, file=name), encoding="utf-8")


if __name__ == "__main__":
    main()
