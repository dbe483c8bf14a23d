"""One server with several workers as an operator runs it, and what the machine tells about its processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError

from tests.integration.processes import wait_until

from .node import HOST, Node

# A machine that runs tests is slow now and then.
PATIENCE = 20.0
_ATTEMPTS = 20


class Fleet(Node):
    """A node whose checks are answered by workers."""

    def __init__(self, folder: Path, *, store_url: str, workers: int = 4, **sections: Any) -> None:
        self.workers = workers
        self._log = folder / "decisions.log"
        super().__init__(folder, store_url=store_url, workers=workers, **sections)

    def serving(self) -> bool:
        """Tell whether all workers answer."""
        return [*self.readiness()["workers"].values()] == ["ok"] * self.workers

    def readiness(self) -> Any:
        """Return the body of `/readyz`."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.admin_port}/readyz", timeout=10) as page:
                return json.load(page)
        except HTTPError as error:
            with error:
                return json.load(error)

    def connections_by_worker(self) -> list[int]:
        """Return how many connections each worker has."""
        name = "extauth_worker_open_connections"
        return [int(self.metric(name, worker=str(number))) for number in range(self.workers)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines about an event, without a line that is being written."""
        lines = (json.loads(line) for line in self._log.read_text().split("\n")[:-1])
        return [line for line in lines if line["event"] == name]

    def has_told(self) -> bool:
        """Tell whether the log says that all have started."""
        started = {line["worker"] for line in self.events("worker_started")}
        return len(started) == self.workers and bool(self.events("started"))

    def process_ids(self) -> list[int]:
        """Return the process ids of the workers that were started last, by number."""
        started = {line["worker"]: int(line["pid"]) for line in self.events("worker_started")}
        return [started[number] for number in range(self.workers)]

    def supervisor(self) -> int:
        """Return the process id of the supervisor."""
        return int(self.events("started")[-1]["pid"])

    def kill_worker(self, number: int) -> int:
        """Kill a worker as a crash would, and return its process id once it is dead."""
        process_id = self.process_ids()[number]
        os.kill(process_id, signal.SIGKILL)
        wait_until(lambda: not is_alive(process_id), within=PATIENCE, what="the worker is dead")
        return process_id

    def exit_code(self) -> int:
        """Return the exit code of a server that has ended or is about to."""
        process = self.child._process
        assert process is not None
        return process.wait(PATIENCE)

    def search_first(self, folder: Path) -> None:
        """Have modules looked for in this folder first, from the next start on."""
        search = os.pathsep.join([str(folder), self._environment["PYTHONPATH"]])
        self._environment["PYTHONPATH"] = search
        assert self.child._environment is not None
        self.child._environment["PYTHONPATH"] = search

    def start_in_vain(self) -> tuple[int, str]:
        """Start it, expect it to end by itself; return exit code and standard error."""
        done = subprocess.run(
            self._serve(),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    def start_piped(self) -> subprocess.Popen[bytes]:
        """Start it with its output in a pipe, which the caller reads."""
        return subprocess.Popen(
            self._serve(), cwd=self._folder, env=self._environment, stdout=subprocess.PIPE
        )

    def _serve(self) -> list[str]:
        return [sys.executable, "-m", "extauth", "--config", str(self.config), "serve"]


class Asking:
    """One kept-alive connection of a proxy."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def check(self, key: str, path: str = "/v1/x") -> int:
        """Ask; 0 where the connection is broken, which it stays: nobody connects again behind it."""
        if self._connection.sock is None and self._connection.auto_open:
            self._connection.connect()
            self._connection.auto_open = 0
        try:
            self._connection.request("GET", f"/envoy{path}", headers={"x-api-key": key})
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        return answer.status


@contextmanager
def asking(fleet: Fleet, count: int) -> Iterator[list[Asking]]:
    """Give so many connections, spread over all workers.

    On a busy machine a worker may come too late for all of them; then they are made anew.
    """
    for _ in range(_ATTEMPTS):
        with ExitStack() as stack:
            made = [stack.enter_context(Asking(fleet.check_port)) for _ in range(count)]
            assert {connection.check("", "/nobody") for connection in made} == {401}
            _wait_for_connections(fleet, count)
            if 0 not in fleet.connections_by_worker():
                yield made
                return
        _wait_for_connections(fleet, 0)
    raise AssertionError("some worker never takes a connection")


def _wait_for_connections(fleet: Fleet, count: int) -> None:
    wait_until(lambda: sum(fleet.connections_by_worker()) == count, within=PATIENCE, what="all are counted")


@contextmanager
def served(fleet: Fleet) -> Iterator[Fleet]:
    """Run a server until all workers answer, and end it."""
    fleet.child.start()
    try:
        wait_until(fleet.serving, within=PATIENCE, what="all workers answer")
        # Lines are written a moment later.
        wait_until(fleet.has_told, within=PATIENCE, what="the log says so")
        yield fleet
    finally:
        fleet.close()
        fleet.child.stop()


def is_alive(process_id: int) -> bool:
    """Tell whether a process runs: one that is dead and not yet taken notice of (state Z) doesn't."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    return False
