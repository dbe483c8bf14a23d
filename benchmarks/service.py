"""extauth as an operator runs it: a configuration file, keys from the command line, the server, its log."""

from __future__ import annotations

import json
import string
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import HOST
from benchmarks.servers import Server, ServerError, answers, clean_environment, free_ports, start

_COMMAND_SECONDS = 30.0
# The log is written every 50 ms: what stands still for this long is complete.
_LOG_STILL_SECONDS = 0.3
_LOG_WAIT_SECONDS = 5.0
_CHUNK = 1 << 20
# Nobody reports the end of a check's request, so that leases end by themselves, each after a second.
IN_FLIGHT = {"max": 1_000_000, "ttl": "1s"}


class Keys(NamedTuple):
    """The texts of the keys that the checks carry. Never print them."""

    allowed: str
    spent: str
    forged: str
    leased: str

    def __repr__(self) -> str:
        return "Keys(…)"


class Service:
    """One installation of extauth in a folder: embedded store, routes with scopes, all lines on.

    `changes` take the place of sections of its configuration; `module` is what Python runs.
    """

    def __init__(
        self, folder: Path, *, changes: Mapping[str, object] | None = None, module: str = "extauth"
    ) -> None:
        self.log = DecisionLog(folder / "decisions.log")
        self._folder = folder
        self._changes = changes or {}
        self._module = module
        self._config = folder / "extauth.yaml"
        self._check_port, self.admin_port, self.completion_port = free_ports(3)
        # JSON is YAML too.
        self._config.write_text(json.dumps(self._settings(), indent=2))

    def create_keys(self) -> Keys:
        """Make three keys on the command line, and a forged one of the same form. Raises ServerError."""
        allowed, spent, leased = map(self._create_key, ("roomy", "spent", "leased"))
        return Keys(allowed, spent, forge(allowed), leased)

    def serve(self, *, core: int) -> Server:
        """Start the server: ready when `/readyz` says so and a check is answered. Raises ServerError."""
        command = [*self._command(), "serve"]
        port = self._check_port
        return start(
            command,
            port=port,
            core=core,
            folder=self._folder,
            ready=lambda _: answers(port) and self._is_ready(),
        )

    def _settings(self) -> dict[str, object]:
        return {
            "listen": {
                "check": f"{HOST}:{self._check_port}",
                "admin": f"{HOST}:{self.admin_port}",
                "completion": f"{HOST}:{self.completion_port}",
            },
            "store": {"url": f"sqlite:///{self._folder / 'extauth.db'}"},
            "routes": [
                {"path": "/health", "auth": "none"},
                {"path": "/v1/orders/{id}", "methods": ["GET", "HEAD"], "scopes": ["orders:read"]},
                {"path": "/v1/orders/**", "scopes": ["orders:write"]},
            ],
            "default_route": "deny",
            "tiers": {
                # More than any machine can ask for in a run, so that no check is refused.
                "roomy": {"rates": ["1000000/second", "1000000000/day"]},
                "leased": {"rates": ["1000000/second", "1000000000/day"], "concurrency": IN_FLIGHT},
                # One check spends it for longer than any run lasts.
                "spent": {"rates": ["1000000/second", "1/day"]},
            },
            # A flood of keys that are no good is counted and not banned: what is measured is refusing them.
            "abuse": {"per_address": {"failures": 1_000_000, "window": "1s"}},
            "log": {"file": str(self.log.path)},
            **self._changes,
        }

    def _create_key(self, tier: str) -> str:
        who = ["--user-id", "benchmark", "--name", "benchmark", "--tier", tier, "--scope", "orders:read"]
        done = subprocess.run(
            [*self._command(), "keys", "create", *who, "--json"],
            cwd=self._folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"extauth keys create: {done.stderr}")
        return str(json.loads(done.stdout)["key"])

    def _command(self) -> list[str]:
        return [sys.executable, "-m", self._module, "--config", str(self._config)]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.admin_port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class DecisionLog:
    """The file of decision lines, which proves what the server decided and that it wrote each line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clear(self) -> None:
        """Empty the file, which the server goes on appending to: a run would fill hundreds of megabytes."""
        self.path.open("wb").close()

    def count(self, code: str) -> tuple[int, int]:
        """Return how many lines there are, and how many of them are decisions with this code."""
        wanted = b'"code":"%b"' % code.encode()
        lines = matching = 0
        rest = b""
        with self.path.open("rb") as log:
            while chunk := log.read(_CHUNK):
                whole, feed, rest = (rest + chunk).rpartition(b"\n")
                lines += (whole + feed).count(b"\n")
                matching += whole.count(wanted)
        return lines, matching

    def wait_until_still(self) -> None:
        """Wait until the server has written all lines of the checks that it has answered."""
        deadline = time.monotonic() + _LOG_WAIT_SECONDS
        before, now = -1, self._size()
        while before != now and time.monotonic() < deadline:
            time.sleep(_LOG_STILL_SECONDS)
            before, now = now, self._size()

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0


def forge(key: str) -> str:
    """Return a text that differs from the key in the last character of its tag only."""
    others = (string.digits + string.ascii_letters).replace(key[-1], "")
    return key[:-1] + others[0]
