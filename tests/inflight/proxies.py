"""Both proxies with the shipped files, changed only in what a test would have to wait long for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.integration import shipped
from tests.integration.processes import Child, free_ports

# How long both wait for the upstream here, and how often Envoy tells that a request still runs; in seconds.
UPSTREAM_TIMEOUT = 1.0
PROGRESS_EVERY = 0.2
_ENVOY_CHANGES = {
    "cluster: upstream, timeout: 15s": f"cluster: upstream, timeout: {UPSTREAM_TIMEOUT}s",
    "access_log_flush_interval: 15s": f"access_log_flush_interval: {PROGRESS_EVERY}s",
}
# What an operator may have beside the shipped example: WebSockets, a place without checks, a log of its own,
# and pages for errors, for which nginx asks again.
_NGINX_CHANGES = {
    "      proxy_pass http://api;\n    }\n": """\
      proxy_pass http://api;
      proxy_read_timeout 1s;
    }
    location /socket {
      include extauth-headers.conf;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_pass http://api;
    }
    location /unchecked/ {
      auth_request off;
      return 200 "unchecked";
    }
    location /logged/ {
      access_log own.log;
      include extauth-signals.conf;
      proxy_pass http://api;
    }
    location /paged/ {
      error_page 401 403 = @extauth_refusal;
      error_page 404 /quick;
      root .;
    }
"""
}


class Ports(NamedTuple):
    """Where everything listens."""

    envoy: int
    envoy_admin: int
    nginx: int
    upstream: int
    check: int
    completion: int


def some_ports() -> Ports:
    """Return free ports."""
    return Ports(*free_ports(6))


@contextmanager
def running(folder: Path, ports: Ports) -> Iterator[dict[str, Child]]:
    """Run both, in a folder that also nginx's worker may enter; by name."""
    replaced = {
        8080: ports.envoy,
        9901: ports.envoy_admin,
        8081: ports.nginx,
        8082: ports.upstream,
        9000: ports.check,
        9002: ports.completion,
    }
    children = {"envoy": shipped.envoy(folder, replaced), "nginx": shipped.nginx(folder, replaced)}
    _change(folder / "envoy.yaml", _ENVOY_CHANGES)
    _change(folder / "nginx.conf", _NGINX_CHANGES)
    try:
        for child in children.values():
            child.start()
        yield children
    finally:
        for child in children.values():
            child.stop()


def _change(file: Path, changes: Mapping[str, str]) -> None:
    text = file.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, f"{file.name} has no longer {old!r}"
        text = text.replace(old, new)
    file.write_text(text)
