"""A real server is given other settings while it is asked: alone on SQLite and on Redis, and with workers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .fleet import PATIENCE, Asking, Fleet, asking, served
from .node import HOST

RELOADS = "extauth_config_reloads_total"
CONNECTIONS = 8


class Server(Fleet):
    """A server whose file changes; with one worker it is one process."""

    def write(self, **sections: Any) -> None:
        """Put another file in the place of this one, as editors do. A section that is None goes away."""
        settings = {**json.loads(self.config.read_text()), **sections}
        other = self.config.with_suffix(".new")
        other.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
        other.replace(self.config)

    def reloads(self) -> float:
        """Return how often it loaded its file, with whatever success."""
        return self.metric(RELOADS)

    def reload(self, **sections: Any) -> None:
        """Write another file, and have it loaded at once."""
        self.write(**sections)
        before = self.reloads()
        self.hang_up()
        wait_until(lambda: self.reloads() > before, within=PATIENCE, what="it was loaded")

    def hang_up(self) -> None:
        """Send SIGHUP."""
        process = self.child._process
        assert process is not None
        os.kill(process.pid, signal.SIGHUP)

    def config_part(self) -> str:
        """Return what `/readyz` says of the configuration, of a server that is ready."""
        page = self.readiness()
        assert page["status"] == "ready"
        return str(page["parts"]["config"])


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run it."""
    if server.workers > 1:
        with served(server):
            yield server
        return
    server.child.start()
    try:
        yield server
    finally:
        server.close()
        server.child.stop()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis for all tests here."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis", "workers"])
def server(request: pytest.FixtureRequest, tmp_path: Path, redis: RedisServer) -> Iterator[Server]:
    """Run a server of each kind."""
    url = f"sqlite:///{tmp_path / 'extauth.db'}" if request.param == "sqlite" else redis.url
    workers = 3 if request.param == "workers" else 1
    with serving(Server(tmp_path / "server", store_url=url, workers=workers)) as server:
        yield server


class Seen(NamedTuple):
    """What a client got: the status, the names of the limits, whose they are, and how a reset is told."""

    status: int
    policy: str
    epoch: bool


class Client(threading.Thread):
    """Asks again and again on one connection, and keeps every kind of answer that it gets."""

    def __init__(self, port: int, key: str) -> None:
        super().__init__()
        self.seen: set[Seen] = set()
        self.faults: list[str] = []
        self.asked = 0
        self.stopping = threading.Event()
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        self._connection.connect()
        # A connection that is closed fails the test.
        self._connection.auto_open = 0
        self._key = key

    def run(self) -> None:
        """Ask until told to stop."""
        try:
            while not self.stopping.is_set():
                self.seen.add(self._ask())
                self.asked += 1
        except (OSError, http.client.HTTPException) as error:
            self.faults.append(repr(error))
        finally:
            self._connection.close()

    def _ask(self) -> Seen:
        # As proxies ask, so that heads become familiar.
        lines = {
            "x-api-key": self._key,
            "x-request-id": f"r-{self.asked}",
            "x-extauth-client-ip": "192.0.2.7",
        }
        self._connection.request("GET", f"/envoy/v1/{self.asked % 50}", headers=lines)
        answer = self._connection.getresponse()
        answer.read()
        names = [part.split(";")[0] for part in answer.headers.get("ratelimit-policy", "").split(", ")]
        reset = int(answer.headers.get("x-ratelimit-reset", "0"))
        return Seen(answer.status, " ".join(names), reset > 1_000_000_000)


def sections(name: str) -> dict[str, Any]:
    """Return settings that show in an answer by which parts of them it came to be."""
    rates = [{"rate": "1000000/second", "name": f"{name}-tier"}]
    of_all = [{"rate": "1000000/second", "name": f"{name}-all"}]
    limits = [{"rate": "1000000/second", "name": f"{name}-route"}]
    return {
        "tiers": {"default": {"rates": rates}},
        "routes": [{"path": "/v1/**", "limits": limits}],
        "limits": {"rates": of_all},
        "headers": {"reset": "epoch" if name == "b" else "delta"},
    }


def pure(name: str) -> Seen:
    """Return the one answer of these settings."""
    return Seen(200, f'"{name}-tier" "{name}-route" "{name}-all"', name == "b")


def test_no_check_fails_and_none_is_mixed_while_it_reloads(server: Server) -> None:
    """Under a flood on kept-alive connections: all are let in, each by the one settings or the other."""
    server.reload(**sections("a"))
    key = str(server.create_key()["key"])
    clients = [Client(server.check_port, key) for _ in range(CONNECTIONS)]
    for client in clients:
        client.start()
    try:
        for number in range(20):
            server.reload(**sections("ba"[number % 2]))
            asked = [client.asked for client in clients]
            # Some checks between two reloads, of everybody.
            wait_until(
                lambda asked=asked: all(  # type: ignore[misc]  # bound at once
                    not client.is_alive() or client.asked > before + 5
                    for client, before in zip(clients, asked, strict=True)
                ),
                within=PATIENCE,
                what="everybody is answered",
            )
    finally:
        for client in clients:
            client.stopping.set()
            client.join()
    assert [fault for client in clients for fault in client.faults] == []
    assert set().union(*(client.seen for client in clients)) == {pure("a"), pure("b")}
    assert server.metric(RELOADS, outcome="ok") == 21
    assert server.metric("extauth_faults_total") == 0


def test_after_a_reload_all_connections_go_by_it(server: Server) -> None:
    """Those that were there before too, in every process: nobody gets an old answer once it is told."""
    key = str(server.create_key()["key"])
    with ExitStack() as stack:
        connections = [stack.enter_context(Asking(server.check_port)) for _ in range(CONNECTIONS)]
        for number in range(5):
            server.reload(default_route="deny" if number % 2 == 0 else "authenticate")
            expected = 403 if number % 2 == 0 else 200
            for _ in range(10):
                assert {connection.check(key) for connection in connections} == {expected}


def test_counts_are_kept(server: Server) -> None:
    """Half of a limit that was spent is half of another one, whoever counts; and nothing is given anew."""
    server.reload(tiers={"default": {"rates": ["60/hour burst 100"]}})
    key = str(server.create_key()["key"])
    with ExitStack() as stack:
        connections = [stack.enter_context(Asking(server.check_port)) for _ in range(CONNECTIONS)]
        assert [connections[number % CONNECTIONS].check(key) for number in range(50)] == [200] * 50
        server.reload(tiers={"default": {"rates": ["600/hour burst 1000"]}})
        remaining = Server._ask(server, server.check_port, "GET", "/envoy/v1/x", {"x-api-key": key})
        assert 498 <= int(remaining.headers["x-ratelimit-remaining"]) <= 510
        server.reload(tiers={"default": {"rates": ["6/hour burst 10"]}}, docs_url="https://docs.example.com")
        statuses = [connection.check(key) for connection in connections]
        assert statuses.count(200) in {4, 5}
        assert set(statuses) == {200, 429}


def test_a_bad_file_is_refused_until_it_is_mended(server: Server) -> None:
    """Noticed by itself: told in the log, the metrics and on `/readyz`, while checks go on as before."""
    key = str(server.create_key()["key"])
    assert server.metric("extauth_config_last_reload_successful") == 1
    began = server.metric("extauth_config_last_reload_success_timestamp_seconds")
    good = server.config.read_text()
    server.config.write_text(f"default_rote: deny\ndefault_route: nobody\n{good[:0]}")
    wait_until(lambda: server.metric(RELOADS, outcome="failed") == 1, within=PATIENCE, what="it is refused")
    assert server.metric("extauth_config_last_reload_successful") == 0
    assert f"2 mistakes, the first: {server.config}:1: default_rote" in server.config_part()
    wait_until(lambda: bool(server.events("config_refused")), within=PATIENCE, what="the log tells")
    (line,) = server.events("config_refused")
    assert [problem.split(": ")[0] for problem in line["problems"]] == [
        f"{server.config}:1",
        f"{server.config}:2",
    ]
    assert server.check(key) == 200
    assert server.metric("extauth_ready") == 1
    server.config.write_text(good)
    server.write(default_route="deny")
    wait_until(lambda: server.config_part() == "ok", within=PATIENCE, what="it is taken")
    assert server.check(key) == 403
    assert server.metric("extauth_config_last_reload_successful") == 1
    assert server.metric("extauth_config_last_reload_success_timestamp_seconds") > began


def test_what_needs_a_restart_is_named_and_the_rest_is_in_force(server: Server) -> None:
    """In the log and on `/readyz`, without its value; after the restart nothing waits."""
    keys = json.loads(server.config.read_text())["keys"]
    key = str(server.create_key()["key"])
    pepper = "another pepper that nobody may see in a log"
    server.reload(keys={**keys, "peppers": [pepper, *keys["peppers"]], "prefix": "zz"}, default_route="deny")
    assert server.config_part() == "waiting for a restart: keys.prefix, keys.peppers"
    assert server.check(key) == 403
    wait_until(lambda: bool(server.events("config_reloaded")), within=PATIENCE, what="the log tells")
    assert server.events("config_reloaded")[-1]["needs_restart"] == ["keys.prefix", "keys.peppers"]
    assert pepper not in server._log.read_text() + server.child.output()
    server.close()
    server.child.stop()
    server.child.start()
    assert server.config_part() == "ok"


@pytest.fixture
def fleet(tmp_path: Path, redis: RedisServer) -> Iterator[Server]:
    """Run a server with workers."""
    with serving(Server(tmp_path / "server", store_url=redis.url, workers=3)) as server:
        yield server


def test_a_worker_that_is_replaced_has_the_settings_in_force(fleet: Server) -> None:
    """Those of the last good file, not those of the start, and not those that wait for a restart."""
    key = str(fleet.create_key()["key"])
    fleet.reload(default_route="deny", failure={"deadline": "2s"})
    for number in range(3):
        fleet.kill_worker(number)
        wait_until(
            lambda number=number: (
                fleet.metric("extauth_worker_restarts_total") == number + 1  # type: ignore[misc]  # bound at once
                and fleet.serving()
            ),
            within=PATIENCE,
            what="it is replaced",
        )
    with asking_denied(fleet) as connections:
        assert {connection.check(key) for connection in connections} == {403}
        fleet.reload(default_route="authenticate")
        assert {connection.check(key) for connection in connections} == {200}


@contextmanager
def asking_denied(fleet: Server) -> Iterator[list[Asking]]:
    """Give connections to all workers of a server that denies all."""
    fleet.reload(routes=[{"path": "/nobody"}])
    with asking(fleet, CONNECTIONS) as connections:
        yield connections


def test_a_worker_takes_no_hint_from_the_terminal(fleet: Server) -> None:
    """SIGHUP to a worker ends nothing: its supervisor says when there are other settings."""
    before = fleet.process_ids()
    for process_id in before:
        os.kill(process_id, signal.SIGHUP)
    fleet.reload(default_route="deny")
    assert fleet.serving()
    assert fleet.process_ids() == before
    assert fleet.events("worker_ended") == []


def test_the_policy_can_be_changed_while_redis_is_gone(tmp_path: Path) -> None:
    """When it is needed most: keys that were confirmed a moment ago are still known as such."""
    redis = RedisServer(tmp_path / "redis")
    with ExitStack() as stack:
        stack.enter_context(running(redis))
        server = stack.enter_context(serving(Server(tmp_path / "server", store_url=redis.url, workers=1)))
        key = str(server.create_key()["key"])
        assert server.check(key) == 200
        redis.child.kill()
        wait_until(lambda: server.check(key) == 503, within=PATIENCE, what="it is missed")
        before = server.reloads()
        degrade = {"authentication": "degrade", "limits": "degrade", "honour": "10m"}
        server.write(failure=degrade)
        server.hang_up()
        wait_until(lambda: server.reloads() > before, within=PATIENCE, what="it was loaded")
        assert server.check(key) == 200
