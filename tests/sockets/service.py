"""The service under test: the real program with a store of its own, and what the machine tells about it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extauth.clock import SystemClock
from extauth.keys.asked import Actor, NewKey
from extauth.management import open_key_management
from extauth.settings.load import load_settings
from extauth.settings.model import Settings
from tests.integration.processes import Child, free_ports, wait_until

from .client import PATIENCE, Address, ask
from .wire import Answer, request, with_key

# Hashing is cheap, because many keys are verified for the first time, except where a test needs it dear.
_CONFIGURATION = """
listen: {{check: "{check}", admin: "127.0.0.1:{admin}", completion: "{completion}"{listen}}}
store: {{url: "sqlite:///{folder}/extauth.db"}}
keys: {{hashing: {{{hashing}}}}}
routes:
  - {{path: "/open/**", auth: none}}
  - {{path: "/scoped/**", scopes: ["never:held"]}}
default_route: authenticate
tiers:
  roomy: {{}}
  spent: {{rates: ["1/day"]}}
log: {{file: "{folder}/decisions.log"}}
"""
CHEAP_HASHING = "memory_kib: 8192, time_cost: 1, queue: 5000"
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one store. Each of `cold` has never been verified, so its first check needs argon2."""

    valid: str
    spent: str
    cold: Iterator[str]


class Service:
    """The program as operators run it. `listen`: more settings of that section; `socket`: a unix socket.

    `completion` is where it is told of requests that ended, if that matters.
    """

    def __init__(
        self,
        folder: Path,
        *,
        listen: str = "",
        completion: str = "127.0.0.1:0",
        hashing: str = CHEAP_HASHING,
        socket: str = "",
        cold: int = 0,
    ) -> None:
        check, self._admin = free_ports(2)
        self.address: Address = socket or ("127.0.0.1", check)
        self._log = folder / "decisions.log"
        configuration = folder / "extauth.yaml"
        configuration.write_text(
            _CONFIGURATION.format(
                check=f"unix:{socket}" if socket else f"127.0.0.1:{check}",
                admin=self._admin,
                completion=completion,
                listen=f", {listen}" if listen else "",
                hashing=hashing,
                folder=folder,
            )
        )
        tiers = ["roomy", "spent", *["roomy"] * cold]
        valid, spent, *others = asyncio.run(create_keys(load_settings(configuration, {}), tiers))
        self.keys = Keys(valid, spent, iter(others))
        repository = str(Path(__file__).resolve().parents[2])
        self._child = Child(
            [sys.executable, "-m", "extauth", "--config", str(configuration), "serve"],
            log=folder / "extauth.log",
            folder=folder,
            ready=self._is_ready,
            environment={**os.environ, "PYTHONPATH": repository},
        )

    def start(self) -> None:
        """Start it, use up the spent key, and wait until no connection is left of that."""
        self._child.start()
        try:
            self._process_id = next(
                line["pid"] for line in reversed(self.log_lines()) if line["event"] == "started"
            )
            assert self.ask(with_key(self.keys.spent)).status in {200, 429}
            self.wait_until_unused()
        except BaseException:
            self._child.stop()
            raise

    def stop(self) -> None:
        """Stop it; everything it printed beside its log would be a complaint."""
        self._child.stop()
        assert self._child.output() == ""

    def kill(self) -> None:
        """End it without giving it a chance to clean up."""
        os.kill(self._process_id, signal.SIGKILL)
        self._child.stop()

    def terminate(self) -> None:
        """Ask it to stop, without waiting until it has."""
        os.kill(self._process_id, signal.SIGTERM)

    def wait_until_unused(self) -> None:
        """Wait until it holds no connection."""
        wait_until(
            lambda: self.metric("extauth_open_connections") == 0,
            within=PATIENCE,
            what="no connection is left",
        )

    def assert_healthy(self) -> None:
        """Fail unless a client with a connection of its own is served."""
        assert self.ask(with_key(self.keys.valid)).status == 200

    def ask(self, *lines: str) -> Answer:
        """Ask one question on a connection of its own."""
        return ask(self.address, request("/envoy/any", *lines))

    @property
    def resident_bytes(self) -> int:
        """How much memory the process holds, in bytes."""
        return resident_bytes(self._process_id)

    def metric(self, name: str) -> int:
        """Return the sum over all labels of one metric."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/metrics", timeout=10) as page:
            text = page.read().decode()
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        assert values, f"the metric {name} is missing"
        return int(sum(float(value) for value in values))

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the log so far, without a line that is being written."""
        return [json.loads(line) for line in self._log.read_text().split("\n")[:-1]]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/readyz", timeout=1) as answer:
                return bool(answer.status == 200) and "started" in self._log.read_text()
        except OSError:
            return False


def resident_bytes(process_id: int) -> int:
    """Return how much memory a process holds (proc(5), statm), in bytes."""
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * _PAGE


def allow_descriptors(wanted: int) -> bool:
    """Raise this process's limit of open files, which its children inherit; False where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return True
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (OSError, ValueError):
        return False
    return True


async def create_keys(settings: Settings, tiers: Sequence[str]) -> list[str]:
    """Make a key of each of these tiers in the store of the settings, and return their texts."""
    async with open_key_management(settings, clock=SystemClock()) as management:
        wanted = [
            NewKey(user_id="user@example.com", name="test", tier=tier, environment="live") for tier in tiers
        ]
        return [
            (await management.service.create(new, Actor(name="tests", source="here"))).text for new in wanted
        ]
