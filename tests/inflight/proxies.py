"""All proxies with the shipped files, changed only in what a test would have to wait long for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.integration import shipped
from tests.integration.processes import Child, free_ports

# How long all wait for the upstream here, and how often Envoy tells that a request still runs; in seconds.
UPSTREAM_TIMEOUT = 1.0
PROGRESS_EVERY = 0.2
# What an operator may have beside the shipped example: WebSockets, a place without checks, a log of its own,
# and pages for errors, for which nginx asks again.
_NGINX_CHANGES: Mapping[str, str] = {
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
# By proxy the file that is changed, and how.
_CHANGES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "envoy": (
        "envoy.yaml",
        {
            "cluster: upstream, timeout: 15s": f"cluster: upstream, timeout: {UPSTREAM_TIMEOUT}s",
            "access_log_flush_interval: 15s": f"access_log_flush_interval: {PROGRESS_EVERY}s",
        },
    ),
    "nginx": ("nginx.conf", _NGINX_CHANGES),
    "traefik": (
        "dynamic.yml",
        {
            "responseHeaderTimeout: 15s": f"responseHeaderTimeout: {UPSTREAM_TIMEOUT}s",
            # Else the beginning of an answer waits for 100 ms.
            "loadBalancer:\n": "loadBalancer:\n        responseForwarding: { flushInterval: 1ms }\n",
        },
    ),
    "caddy": ("Caddyfile", {"response_header_timeout 15s": f"response_header_timeout {UPSTREAM_TIMEOUT}s"}),
    "haproxy": ("haproxy.cfg", {"timeout server 15s": f"timeout server {UPSTREAM_TIMEOUT:.0f}s"}),
}


class Ports(NamedTuple):
    """Where everything listens: each port that shipped files name, and where it is here."""

    of: Mapping[int, int]

    @property
    def upstream(self) -> int:
        """The upstream's."""
        return self.of[8082]

    @property
    def check(self) -> int:
        """That of extauth's check listener."""
        return self.of[9000]

    @property
    def completion(self) -> int:
        """That of extauth's completion listener."""
        return self.of[9002]

    def ingress(self, proxy: str) -> int:
        """Return where clients of that proxy connect."""
        return self.of[shipped.PROXIES[proxy].ingress]


def some_ports() -> Ports:
    """Return free ports."""
    named = shipped.all_ports()
    return Ports(dict(zip(named, free_ports(len(named)), strict=True)))


@contextmanager
def running(folder: Path, ports: Ports) -> Iterator[dict[str, Child]]:
    """Run all, each in a folder of its own below this one, which others must be able to enter; by name."""
    children = {}
    for name, (file, changes) in _CHANGES.items():
        (folder / name).mkdir()
        children[name] = shipped.child(name, folder / name, ports.of)
        _change(folder / name / file, changes)
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
