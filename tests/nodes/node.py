"""One extauth server as an operator runs it, on whatever store, with its admin API."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.processes import Child, free_ports
from tests.redis.server import RedisServer, running

HOST = "127.0.0.1"
PEPPER = "a pepper that all servers of these tests share"


class Answer(NamedTuple):
    """What a listener answered."""

    status: int
    headers: dict[str, str]
    body: Any


@contextmanager
def node_on(kind: str, folder: Path, **sections: Any) -> Iterator[Node]:
    """Give a server that is not started yet, on a store of its own: `sqlite`, or `redis`."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'extauth.db'}"
        if kind == "redis":
            url = stack.enter_context(running(RedisServer(folder / "redis"))).url
        node = Node(folder / "node", store_url=url, **sections)
        stack.callback(node.close)
        stack.callback(node.child.stop)
        yield node


class Node:
    """A server with a folder and a configuration of its own. JSON is YAML too."""

    def __init__(self, folder: Path, *, store_url: str, **sections: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store_url = store_url
        self.check_port, self.admin_port, self.completion_port = free_ports(3)
        hashing = {"memory_kib": 8192, "time_cost": 1, "queue": 64}
        keys = {"peppers": [PEPPER], "hashing": hashing, **sections.pop("keys", {})}
        settings = {
            "listen": {
                "check": f"{HOST}:{self.check_port}",
                "admin": f"{HOST}:{self.admin_port}",
                "completion": f"{HOST}:{self.completion_port}",
                **sections.pop("listen", {}),
            },
            "store": {"url": store_url},
            "keys": keys,
            "log": {"file": str(folder / "decisions.log")},
            "tiers": {"default": {"rates": ["1000000/second"]}},
            # A machine that is busy with starting servers must not make Redis look dead.
            "failure": {"deadline": "2s"},
            **sections,
        }
        self.config = folder / "extauth.yaml"
        self.config.write_text(json.dumps(settings))
        self._folder = folder
        repository = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), repository]))
        self._environment = {**os.environ, "PYTHONPATH": search}
        self.child = Child(
            [sys.executable, "-m", "extauth", "--config", str(self.config), "serve"],
            log=folder / "output.log",
            folder=folder,
            ready=self._is_ready,
            environment=self._environment,
        )
        self._connections: dict[int, http.client.HTTPConnection] = {}

    def command(self, *arguments: str) -> Any:
        """Run a command on the node's store, and return the JSON that it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "extauth", "--config", str(self.config), *arguments, "--json"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def create_key(self, *scopes: str, user_id: str = "user-1") -> dict[str, Any]:
        """Make a key by the command line."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        made: dict[str, Any] = self.command("keys", "create", "--user-id", user_id, "--name", "test", *words)
        return made

    def check(self, key: str, path: str = "/v1/x") -> int:
        """Ask as Envoy does, on a kept-alive connection; return the status."""
        return self.ask(key, path).status

    def ask(self, key: str, path: str = "/v1/x") -> Answer:
        """Do the same; return the whole answer."""
        return self._ask(self.check_port, "GET", f"/envoy{path}", {"x-api-key": key})

    def admin(self, method: str, path: str, *, key: str, body: Any = None, **headers: str) -> Answer:
        """Ask the admin API on a kept-alive connection."""
        lines = {"authorization": f"Bearer {key}", **headers}
        if body is not None:
            lines["content-type"] = "application/json"
        text = None if body is None else json.dumps(body)
        return self._ask(self.admin_port, method, f"/admin/v1{path}", lines, text)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all samples that have these labels."""
        with urllib.request.urlopen(f"http://{HOST}:{self.admin_port}/metrics", timeout=10) as page:
            found = re.findall(rf"^{name}(?:\{{(.*)\}})? ([0-9.e+]+)$", page.read().decode(), re.MULTILINE)
        assert found, f"the metric {name} is missing"
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(float(value) for those, value in found if wanted <= {*those.split(",")})

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _ask(
        self, port: int, method: str, target: str, headers: dict[str, str], body: str | None = None
    ) -> Answer:
        connection = self._connections.get(port)
        if connection is None:
            connection = self._connections[port] = http.client.HTTPConnection(HOST, port, timeout=10)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except BaseException:
            # Whatever state it is in, the next one begins anew.
            self._connections.pop(port).close()
            raise
        parsed = json.loads(text) if "json" in (answer.getheader("content-type") or "") else None
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, parsed)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
