"""Four workers behind one port, on a real Redis: they share the load, and none is missed when it dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import accepts, wait_until
from tests.redis.server import RedisServer, running
from tests.sockets.wire import request, with_key

from .fleet import PATIENCE, Asking, Fleet, asking, is_alive, served
from .node import HOST

CHECKS = "extauth_checks_total"
# What is to be a worker ends at its very start while there is this file beside the configuration.
BROKEN = """
import os, sys
if "extauth.server.worker" in sys.orig_argv and os.path.exists("broken"):
    os._exit(7)
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis for all tests here."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Fleet]:
    """Give a server that all of its tests leave as they found it."""
    with served(Fleet(tmp_path_factory.mktemp("fleet"), store_url=redis.url)) as fleet:
        yield fleet


@pytest.fixture
def doomed(tmp_path: Path, redis: RedisServer) -> Iterator[Fleet]:
    """Give a server for one test, to be killed in parts or whole."""
    with served(Fleet(tmp_path / "fleet", store_url=redis.url)) as fleet:
        yield fleet


@pytest.fixture
def key(fleet: Fleet) -> str:
    """Make a key."""
    return str(fleet.create_key()["key"])


def test_connections_spread_evenly(fleet: Fleet) -> None:
    """Sixteen connections of a proxy, opened at once: each worker gets its share, or the rest would idle."""
    for _ in range(5):
        wait_until(
            lambda: sum(fleet.connections_by_worker()) == 0, within=PATIENCE, what="nobody is connected"
        )
        with asking(fleet, 16):
            counts = fleet.connections_by_worker()
            assert sum(counts) == 16
            # Four each, on a machine that has nothing else to do.
            assert 1 <= min(counts) <= max(counts) <= 8, counts


def test_the_process_above_workers_serves_the_pages_for_consumers(fleet: Fleet) -> None:
    """As a server without workers does."""
    with urllib.request.urlopen(f"http://{HOST}:{fleet.admin_port}/docs/limits", timeout=10) as page:
        assert b"<h1>Tiers and limits</h1>" in page.read()


def test_metrics_are_the_sum_of_all_workers(fleet: Fleet, key: str) -> None:
    """Whoever answered, each check is counted once, at the very next look at the page."""
    allowed = {"dialect": "envoy", "code": "allowed"}
    durations = "extauth_check_duration_seconds_count"
    with asking(fleet, 8) as connections:
        before, before_all = fleet.metric(CHECKS, **allowed), fleet.metric(durations, dialect="envoy")
        for number in range(1, 6):
            assert [connection.check(key) for connection in connections] == [200] * 8
            assert fleet.metric(CHECKS, **allowed) == before + 8 * number
            assert fleet.metric(durations, dialect="envoy") == before_all + 8 * number
    assert fleet.metric("extauth_build_info") == fleet.metric("extauth_ready") == 1
    assert fleet.metric("extauth_workers_ready") == 4


def test_a_change_of_a_key_holds_in_every_worker_at_once(fleet: Fleet) -> None:
    """Made by the admin API it works, and revoked it doesn't, whichever worker is asked next."""
    admin_key = str(fleet.create_key("extauth:admin", user_id="ops")["key"])
    with asking(fleet, 8) as connections:
        for _ in range(20):
            made = fleet.admin("POST", "/keys", key=admin_key, body={"user_id": "u", "name": "n"})
            assert made.status == 201
            assert [connection.check(made.body["key"]) for connection in connections] == [200] * 8
            revoked = fleet.admin("POST", f"/keys/{made.body['key_id']}/revoke", key=admin_key)
            assert revoked.status == 200
            assert [connection.check(made.body["key"]) for connection in connections] == [401] * 8


def test_lines_say_which_worker_they_are_from(fleet: Fleet) -> None:
    """By its number; those of the supervisor have none. Decisions are told by whoever made them."""
    assert sorted(line["worker"] for line in fleet.events("worker_started")) == [0, 1, 2, 3]
    assert len(set(fleet.process_ids())) == 4
    assert "worker" not in fleet.events("started")[0]
    assert fleet.events("started")[0]["workers"] == 4


def test_no_secret_stands_on_a_command_line(fleet: Fleet) -> None:
    """Anybody on the machine can read those: workers get nothing there but numbers."""
    for process_id in fleet.process_ids():
        words = Path(f"/proc/{process_id}/cmdline").read_text().rstrip("\0").split("\0")
        place = words.index("extauth.server.worker")
        assert all(word.isdigit() for word in words[place + 1 :])
        assert words[1:place] in (["-m"], ["-P", "-m"])


def test_a_worker_that_is_killed_is_replaced(doomed: Fleet) -> None:
    """The connections of the others go on, none that is made afterwards fails, and the log tells of it."""
    key = str(doomed.create_key()["key"])
    with asking(doomed, 8) as connections:
        held = doomed.connections_by_worker()[1]
        process_id = doomed.kill_worker(1)
        statuses = [connection.check(key) for connection in connections]
        assert sorted(statuses) == [0] * held + [200] * (8 - held)
        fresh: list[int] = []
        while not doomed.serving() or len(fresh) < 100:
            with Asking(doomed.check_port) as connection:
                fresh.append(connection.check(key))
        assert set(fresh) == {200}
        assert [connection.check(key) for connection in connections] == statuses
    assert doomed.metric("extauth_worker_restarts_total") == 1
    (ended,) = doomed.events("worker_ended")
    assert (ended["worker"], ended["pid"], ended["signal"]) == (1, process_id, "SIGKILL")
    # Log lines are written every 50 ms.
    wait_until(lambda: doomed.process_ids()[1] != process_id, within=PATIENCE, what="the log line")


def test_what_a_killed_worker_had_counted_remains(doomed: Fleet) -> None:
    """No counter ever goes down; gauges tell of those that live."""
    key = str(doomed.create_key()["key"])
    with asking(doomed, 8) as connections:
        assert {connection.check(key) for connection in connections} == {200}
        assert doomed.metric(CHECKS, code="allowed") == 8
        connections_made = doomed.metric("extauth_connections_total")
        doomed.kill_worker(2)
        wait_until(
            lambda: doomed.metric("extauth_worker_restarts_total") == 1 and doomed.serving(),
            within=PATIENCE,
            what="it is replaced",
        )
        assert doomed.metric(CHECKS, code="allowed") == 8
        assert doomed.metric("extauth_connections_total") == connections_made
        assert doomed.connections_by_worker()[2] == 0
        answered = [connection.check(key) for connection in connections].count(200)
        assert doomed.metric(CHECKS, code="allowed") == 8 + answered
        assert doomed.metric("extauth_open_connections") == answered


def test_a_worker_that_hangs_holds_nobody_up(doomed: Fleet) -> None:
    """Connections go to the others, and `/readyz` says which one is silent."""
    key = str(doomed.create_key()["key"])
    stopped = doomed.process_ids()[3]
    os.kill(stopped, signal.SIGSTOP)
    try:
        for _ in range(50):
            with Asking(doomed.check_port) as connection:
                assert connection.check(key) == 200
        wait_until(
            lambda: doomed.readiness()["workers"]["3"].startswith("silent"), within=PATIENCE, what="told"
        )
        assert doomed.readiness()["status"] == "ready"
        assert doomed.metric("extauth_workers_ready") == 3
    finally:
        os.kill(stopped, signal.SIGCONT)
    wait_until(doomed.serving, within=PATIENCE, what="it goes on")


def test_one_worker_can_be_asked_to_end(doomed: Fleet) -> None:
    """SIGTERM to a worker: it answers what it was asked, ends well, and its last counts aren't lost."""
    key = str(doomed.create_key()["key"])
    with asking(doomed, 8) as connections:
        assert {connection.check(key) for connection in connections} == {200}
        os.kill(doomed.process_ids()[0], signal.SIGTERM)
        wait_until(lambda: bool(doomed.events("worker_ended")), within=PATIENCE, what="it ends")
    (ended,) = doomed.events("worker_ended")
    assert (ended["worker"], ended["exit_code"]) == (0, 0)
    wait_until(doomed.serving, within=PATIENCE, what="it is replaced")
    assert doomed.metric(CHECKS, code="allowed") == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_answers_what_it_was_asked(
    tmp_path: Path, redis: RedisServer, number: signal.Signals
) -> None:
    """While argon2 works for a check: it is answered, then all processes end, and the exit code says well."""
    dear = {"memory_kib": 131_072, "time_cost": 6}
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, keys={"hashing": dear})) as fleet:
        key = str(fleet.create_key()["key"])
        process_ids = [*fleet.process_ids(), fleet.supervisor()]
        with connected(fleet) as client:
            # Both stand in one read; the second is waited for once the first is answered.
            client.sendall(request() + request("/envoy/any", with_key(key)))
            assert client.recv(9).endswith(b" ")
            os.kill(fleet.supervisor(), number)
            answers = b"HTTP/1.1 "
            while part := client.recv(65_536):
                answers += part
        assert answers.count(b"HTTP/1.1 401") == answers.count(b"HTTP/1.1 200") == 1
        wait_until(lambda: not any(map(is_alive, process_ids)), within=PATIENCE, what="all have ended")
        assert fleet.exit_code() == 0
        assert fleet.child.output() == ""
        assert len(fleet.events("worker_stopped")) == 4
        assert fleet.events("worker_ended") == fleet.events("worker_killed") == []


def test_workers_end_with_their_supervisor(doomed: Fleet) -> None:
    """Killed so that it can tell nobody: no process is left, and the port is free."""
    key = str(doomed.create_key()["key"])
    with asking(doomed, 8) as connections:
        process_ids = doomed.process_ids()
        doomed.child.kill()
        wait_until(lambda: not any(map(is_alive, process_ids)), within=PATIENCE, what="workers have ended")
        assert {connection.check(key) for connection in connections} == {0}
    assert not accepts(doomed.check_port)
    doomed.child.start()


def test_a_worker_that_keeps_crashing_is_started_less_and_less_often(
    tmp_path: Path, redis: RedisServer
) -> None:
    """The others answer meanwhile; when it can start again it does."""
    fleet = breakable(tmp_path, redis)
    with served(fleet):
        (fleet.config.parent / "broken").touch()
        fleet.kill_worker(0)
        wait_until(lambda: len(fleet.events("worker_ended")) == 5, within=PATIENCE, what="it was tried again")
        assert [line["next_in_seconds"] for line in fleet.events("worker_ended")] == [0, 0.1, 0.2, 0.4, 0.8]
        assert fleet.readiness()["status"] == "ready"
        with Asking(fleet.check_port) as connection:
            assert connection.check("") == 401
        (fleet.config.parent / "broken").unlink()
        wait_until(fleet.serving, within=PATIENCE, what="it is back")


def breakable(folder: Path, redis: RedisServer) -> Fleet:
    """Give a server whose workers can't start while there is a file `broken`."""
    fleet = Fleet(folder / "fleet", store_url=redis.url, workers=2)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(BROKEN)
    fleet.search_first(folder / "site")
    return fleet


def test_a_server_ends_if_no_worker_can_start(tmp_path: Path, redis: RedisServer) -> None:
    """At its first start, where an operator looks: one line, and no process is left to try again."""
    fleet = breakable(tmp_path, redis)
    (fleet.config.parent / "broken").touch()
    code, said = fleet.start_in_vain()
    assert (code, said) == (1, "no worker can start: the first one ended with exit code 7\n")
    assert not accepts(fleet.check_port)


def test_a_start_without_redis_fails_in_one_line(tmp_path: Path) -> None:
    """As one process does, before any worker is started."""
    gone = RedisServer(tmp_path / "redis").url
    fleet = Fleet(tmp_path / "fleet", store_url=gone)
    code, said = fleet.start_in_vain()
    assert code == 1
    assert gone.partition("//")[2] in said
    assert said.count("\n") == 1
    assert fleet.events("worker_started") == []


@pytest.mark.parametrize("listener", ["check", "admin"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, redis: RedisServer, listener: str) -> None:
    """With the setting to change, before any worker is started."""
    fleet = Fleet(tmp_path / "fleet", store_url=redis.url)
    port = fleet.check_port if listener == "check" else fleet.admin_port
    with socket.create_server((HOST, port)):
        code, said = fleet.start_in_vain()
    assert code == 1
    assert said.startswith(f"listen.{listener}: can't listen on {HOST}:{port}: ")
    assert said.count("\n") == 1


def test_workers_need_a_redis(tmp_path: Path) -> None:
    """With the embedded store each would count limits for itself: refused, with the reason."""
    fleet = Fleet(tmp_path / "fleet", store_url=f"sqlite:///{tmp_path / 'extauth.db'}", workers=2)
    code, said = fleet.start_in_vain()
    assert code == 1
    assert "workers" in said
    assert "store.url" in said
    assert not (tmp_path / "extauth.db").exists()


def test_lines_stay_whole_in_a_pipe_that_all_workers_write_to(tmp_path: Path, redis: RedisServer) -> None:
    """Long lines, and a reader that comes late: the pipe is full, and each line is still one."""
    fleet = Fleet(tmp_path / "fleet", store_url=redis.url, log={})
    process = fleet.start_piped()
    try:
        wait_until(lambda: answers_all(fleet), within=PATIENCE, what="all workers answer")
        with ExitStack() as stack:
            clients = [stack.enter_context(connected(fleet)) for _ in range(8)]
            for number, client in enumerate(clients):
                heads = (request(f"/envoy/{number}-{each}/{'x' * 2_000}") for each in range(200))
                client.sendall(b"".join(heads))
            for client in clients:
                answers = b""
                while answers.count(b"HTTP/1.1 401") < 200:
                    answers += client.recv(65_536)
        process.terminate()
        out, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    paths = {line["path"].split("/")[1] for line in lines if line["event"] == "decision"}
    assert paths == {f"{number}-{each}" for number in range(8) for each in range(200)}


def connected(fleet: Fleet) -> socket.socket:
    """Connect to the listener for checks."""
    return socket.create_connection((HOST, fleet.check_port), timeout=PATIENCE)


def answers_all(fleet: Fleet) -> bool:
    """Tell whether all workers answer, of a server that may not be there yet."""
    with suppress(OSError):
        return fleet.serving()
    return False


def test_metrics_about_workers_are_documented(fleet: Fleet) -> None:
    """All of them, in their section of the page."""
    with urllib.request.urlopen(f"http://{HOST}:{fleet.admin_port}/metrics", timeout=10) as page:
        shown = {
            line.split()[2] for line in page.read().decode().splitlines() if "# TYPE extauth_worker" in line
        }
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert len(shown) == 3
    assert all(f"`{name}`" in text for name in shown)
