"""extauth for the demo: its configuration file, its program, and the keys that the curl lines use."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import string
import sys
from pathlib import Path
from typing import NamedTuple

from extauth.clock import SystemClock
from extauth.demo.folder import store_file
from extauth.demo.ports import Ports
from extauth.demo.processes import Program
from extauth.keys.asked import Actor, IssuedKey, NewKey
from extauth.management import open_key_management
from extauth.settings.load import load_settings

FREE_BURST = 3
FREE_PER_MINUTE = 10

_CONFIGURATION = string.Template("""\
# Written by `extauth demo`, anew at each start.
listen: {check: "127.0.0.1:$check", admin: "127.0.0.1:$admin", completion: "127.0.0.1:$completion"}
store: {url: $store}
routes:                                       # the first match decides
  - {path: /health, auth: none}
  - {path: /v1/admin/**, scopes: [admin]}
  - {path: /v1/orders, methods: [GET, HEAD], scopes: ["orders:read"]}
  - {path: /v1/orders/**, methods: [GET, HEAD], scopes: ["orders:read"]}
  - {path: /v1/orders, scopes: ["orders:write"]}
  - {path: /v1/orders/**, scopes: ["orders:write"]}
default_route: authenticate                   # elsewhere any valid key will do
tiers:
  free: {rates: ["$free_rate/minute burst $free_burst", "1000/day"]}
  pro: {rates: ["50/second burst 100"]}
""")


class DemoKeys(NamedTuple):
    """The keys of the demo, each shown once on the terminal and stored nowhere."""

    pro: IssuedKey
    """May read and write orders, often."""
    free: IssuedKey
    """May read orders, and has soon spent its limit."""
    admin: IssuedKey
    """May do everything."""


def write_configuration(directory: Path, ports: Ports) -> Path:
    """Write extauth's settings for the demo and return the file."""
    path = directory / "extauth.yaml"
    text = _CONFIGURATION.substitute(
        check=ports.check,
        admin=ports.admin,
        completion=ports.completion,
        store=json.dumps(f"sqlite:///{store_file(directory)}", ensure_ascii=False),
        free_rate=FREE_PER_MINUTE,
        free_burst=FREE_BURST,
    )
    path.write_text(text, encoding="utf-8")
    return path


def make_keys(configuration: Path) -> DemoKeys:
    """Make the keys in the demo's store. Raises ConfigError and StoreError."""
    return asyncio.run(_make_keys(configuration))


async def _make_keys(configuration: Path) -> DemoKeys:
    settings = load_settings(configuration, {})
    async with open_key_management(settings, clock=SystemClock()) as management:
        create = management.service.create
        by = Actor(name="demo", source="cli")
        return DemoKeys(
            pro=await create(_wanted("alice", "pro", "orders:*"), by),
            free=await create(_wanted("bob", "free", "orders:read"), by),
            admin=await create(_wanted("carol", "pro", "*"), by),
        )


def _wanted(user_id: str, tier: str, scope: str) -> NewKey:
    return NewKey(user_id=user_id, name="demo", tier=tier, environment="test", scopes=(scope,))


def service_program(configuration: Path, *, directory: Path, ports: Ports) -> Program:
    """Return extauth itself; its log is the one that the demo follows."""
    return Program(
        name="extauth",
        command=(sys.executable, "-m", "extauth", "--config", str(configuration), "serve"),
        folder=directory,
        log=directory / "extauth.log",
        is_ready=lambda: _is_ready(ports.admin),
        environment=_environment(),
    )


def _environment() -> dict[str, str]:
    """Return this process's environment without what sets up another extauth."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("EXTAUTH_")}


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
