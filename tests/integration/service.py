"""The service under test: the real program, started, asked and administered the way an operator does it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .client import request as ask
from .processes import Child, wait_until

# Hashing is slow and narrow, one thread and one that waits, so that a few first verifications are too many.
_CONFIGURATION = """
listen: {{check: "127.0.0.1:{check}", admin: "127.0.0.1:{admin}", completion: "127.0.0.1:{completion}"}}
store: {{url: "sqlite:///{database}"}}
keys: {{hashing: {{memory_kib: 32768, time_cost: 4, workers: 1, queue: 1}}}}
routes:
  - {{path: "/open/**", auth: none}}
  - {{path: "/hosted/**", hosts: [other.example], auth: none}}
  - {{path: "/optional/**", auth: optional}}
  - {{path: "/public/**", scopes: ["public:read"]}}
  - {{path: "/admin", scopes: ["admin:read"]}}
  - {{path: "/admin/**", scopes: ["admin:read"]}}
default_route: authenticate
tiers:
  roomy: {{rates: ["100000/second"]}}
  spent: {{rates: ["1/hour"]}}
  scarce: {{rates: ["20/hour"]}}
{more}log: {{file: "{log}"}}
"""
_WRITTEN_WITHIN = 3.0


class Key(NamedTuple):
    """One issued key: its full text, its id, and whose it is."""

    text: str
    key_id: str
    user_id: str
    scopes: tuple[str, ...]
    tier: str


class Service:
    """extauth with a store of its own. Commands run as processes of their own, as they do for an operator."""

    def __init__(
        self, folder: Path, *, check_port: int, admin_port: int, completion_port: int = 0, more: str = ""
    ) -> None:
        self.check_port = check_port
        self.admin_port = admin_port
        self._admin = f"http://127.0.0.1:{admin_port}"
        self._folder = folder
        self._log = folder / "decisions.log"
        self._config = folder / "extauth.yaml"
        self._config.write_text(
            _CONFIGURATION.format(
                check=check_port,
                admin=admin_port,
                completion=completion_port,
                database=folder / "extauth.db",
                log=self._log,
                more=more,
            )
        )
        # Started elsewhere than in the repository, where the package may not be installed.
        repository = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), repository]))
        self._environment = {**os.environ, "PYTHONPATH": search}
        self.process = Child(
            [*self._command(), "--config", str(self._config), "serve"],
            log=folder / "extauth.log",
            folder=folder,
            ready=self._is_ready,
            environment=self._environment,
        )

    def restart(self, key: Key) -> int:
        """Restart, and have it verify a key again; return the status of that check.

        On a busy machine it may take longer than the second for which proxies wait.
        """
        self.process.stop()
        self.process.start()
        return ask(self.check_port, "/envoy/any", headers=[("X-API-Key", key.text)]).status

    def create_key(self, user_id: str, *, scopes: Sequence[str] = (), tier: str = "roomy") -> Key:
        """Create a key by the command line."""
        wanted = [word for scope in scopes for word in ("--scope", scope)]
        printed = self._run(
            "keys", "create", "--user-id", user_id, "--name", "test", "--tier", tier, *wanted, "--json"
        )
        record = json.loads(printed)
        return Key(record["key"], record["key_id"], user_id, tuple(scopes), tier)

    def rotate_key(self, key: Key, *, grace: str) -> Key:
        """Rotate a key by the command line, and return the new one."""
        record = json.loads(self._run("keys", "rotate", key.key_id, "--grace", grace, "--yes", "--json"))
        return Key(record["key"], record["key_id"], key.user_id, key.scopes, key.tier)

    def print_configuration(self, proxy: str, folder: Path, **options: str) -> None:
        """Have a proxy's configuration for this service written into a folder, by the command line."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._run("proxy", proxy, "--output", str(folder), *words)

    def revoke_key(self, key: Key) -> None:
        """Revoke a key by the command line; returns when the command has ended."""
        self._run("keys", "revoke", key.key_id, "--yes")

    def reset_limits(self, key: Key, *, by: Key) -> None:
        """Forget what a key has spent, by the admin API."""
        asked = urllib.request.Request(
            f"{self._admin}/admin/v1/keys/{key.key_id}/limits/reset",
            headers={"Authorization": f"Bearer {by.text}"},
            method="POST",
        )
        with urllib.request.urlopen(asked, timeout=5) as answer:
            assert answer.status == 200

    def decision(self, request_id: str) -> dict[str, Any]:
        """Return the logged decision about that request; an AssertionError if there isn't exactly one."""
        wait_until(
            lambda: any(True for _ in self._decisions(request_id)),
            within=_WRITTEN_WITHIN,
            what=f"a decision {request_id}",
        )
        (decision,) = self._decisions(request_id)
        return decision

    def idle_timeout(self) -> int:
        """Return after how many seconds the check listener closes an idle connection, by `config show`."""
        found = re.search(r"^  idle_timeout: (\d+)s$", self._run("config", "show"), re.MULTILINE)
        assert found is not None, "`config show` names no idle_timeout in seconds"
        return int(found[1])

    def connections(self) -> int:
        """Return how many connections the check listener has accepted since the start."""
        with urllib.request.urlopen(f"{self._admin}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        values = re.findall(r"^extauth_connections_total(?:\{[^}]*\})? ([0-9.e+]+)$", metrics, re.MULTILINE)
        assert values, "the metric extauth_connections_total is missing"
        return int(sum(float(value) for value in values))

    def _decisions(self, request_id: str) -> Iterator[dict[str, Any]]:
        for line in self._log.read_text().splitlines():
            if request_id in line:
                yield json.loads(line)

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "extauth"]

    def _run(self, *arguments: str) -> str:
        command = [*self._command(), "--config", str(self._config), *arguments]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments[:2])} failed: {done.stderr}"
        return done.stdout

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._admin}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
