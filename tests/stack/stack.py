"""Drives deploy/stack.sh and looks at what runs then, by way of the engine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.integration.client import Response, request
from tests.integration.processes import free_ports, wait_until
from tests.integration.shipped import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
SERVERS = ("extauth-1", "extauth-2")
PROXIES = ("envoy", "nginx")
SERVICES = ("redis", *SERVERS, "upstream", *PROXIES)
_SCRIPT = DEPLOY / "stack.sh"
_PORTS = ("ENVOY_PORT", "NGINX_PORT", "ADMIN_PORT", "SECOND_ADMIN_PORT", "PROMETHEUS_PORT")
_HEALTHY_WITHIN = 90.0
# Asks an extauth from within its container, as a proxy does: exactly this one.
ASK = """
import http.client, sys
check = http.client.HTTPConnection("127.0.0.1", 9000)
check.request("GET", "/envoy/v1/orders", headers={"Host": "a.example", "X-API-Key": sys.argv[1]})
print(check.getresponse().status)
"""
# Bans would be of the engine's gateway, which is what all clients look like here, and machines that run
# tests are slow now and then.
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "abuse": {"enabled": False},
    "failure": {"deadline": "800ms"},
    "tiers": {"rare": {"rates": ["3/day"]}},
}


class Key(NamedTuple):
    """A key that was made."""

    key_id: str
    text: str


class Stack:
    """The stack, under names, ports and a network of its own; started by `start`."""

    def __init__(self, client: Any, environment: Mapping[str, str], folder: Path) -> None:
        self._client = client
        self._project = "extauth-test"
        ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
        self._ports = {service: int(ports[f"{service.upper()}_PORT"]) for service in (*PROXIES, "prometheus")}
        self.secrets = folder / "secrets"
        self._environment = {
            **environment,
            **ports,
            "STACK_PROJECT": self._project,
            "STACK_NETWORK": "10.203.48",
            "STACK_SECRETS": str(self.secrets),
            "STACK_CONFIGURATION": str(_configuration(folder)),
        }
        self.shown = ""

    def start(self) -> None:
        """Start everything as `make demo-stack` does, keep what that shows, and wait until all is healthy."""
        self.shown = self.call("demo")
        self.wait_until_healthy(*SERVICES)

    def call(self, *arguments: str) -> str:
        """Call the script; an AssertionError shows what it said if it fails."""
        done = subprocess.run(
            [_SCRIPT, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def container(self, service: str) -> Any:
        """Return the container of a service, running or not."""
        labels = [f"com.docker.compose.project={self._project}", f"com.docker.compose.service={service}"]
        (container,) = self._client.containers.list(all=True, filters={"label": labels})
        return container

    def wait_until_healthy(self, *services: str) -> None:
        """Wait until their own health checks say so."""
        for service in services:
            wait_until(partial(self._is_healthy, service), within=_HEALTHY_WITHIN, what=f"{service} healthy")

    def _is_healthy(self, service: str) -> bool:
        return bool(self.container(service).attrs["State"].get("Health", {}).get("Status") == "healthy")

    def replace(self, service: str) -> None:
        """Put another container in the place of one, as an update does, and wait until it is healthy."""
        before = self.container(service).id
        self.call("up", "--detach", "--no-deps", "--force-recreate", service)
        assert self.container(service).id != before
        self.wait_until_healthy(service)

    def run(self, service: str, *command: str) -> str:
        """Run a command in a container and return what it printed; an AssertionError if it fails."""
        code, (out, err) = self.container(service).exec_run([*command], demux=True)
        assert code == 0, (out, err)
        return bytes(out or b"").decode()

    def make_key(self, user: str, *, tier: str = "pro", server: str = SERVERS[0]) -> Key:
        """Make a key on the command line of one server."""
        command = ["extauth", "keys", "create", "--user-id", user, "--name", "test", "--tier", tier]
        made = json.loads(self.run(server, *command, "--scope", "orders:read", "--json"))
        return Key(made["key_id"], made["key"])

    def revoke(self, key: Key, *, server: str) -> None:
        """End a key on the command line of one server."""
        self.run(server, "extauth", "keys", "revoke", key.key_id, "--yes")

    def ask(self, server: str, key: Key) -> int:
        """Ask this one server about a key, and return the status."""
        return int(self.run(server, "python", "-c", ASK, key.text))

    def port(self, service: str) -> int:
        """Return where a proxy, or Prometheus, is found."""
        return self._ports[service]

    def get(self, proxy: str, key: Key | None = None, target: str = "/v1/orders") -> Response:
        """Ask for something through a proxy."""
        headers = [] if key is None else [("X-API-Key", key.text)]
        return request(self.port(proxy), target, headers=headers)


def _configuration(folder: Path) -> Path:
    """Return a folder with the shipped settings, but for what tests need otherwise."""
    settings = yaml.safe_load((DEPLOY / "stack" / "extauth.yaml").read_text())
    for section, fields in _CHANGES.items():
        settings[section] = {**settings.get(section, {}), **fields}
    changed = folder / "configuration"
    changed.mkdir()
    (changed / "extauth.yaml").write_text(json.dumps(settings))
    changed.chmod(0o755)
    return changed
