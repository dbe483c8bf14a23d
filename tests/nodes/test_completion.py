"""Signals to a server with several workers: whichever reads one counts it, and none is lost with a worker."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from extauth.completion.datagrams import RECEIVE_BUFFER
from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .fleet import PATIENCE, Fleet, served
from .node import HOST

SIGNALS = "extauth_completion_signals_total"
TOKEN = "a-token-of-these-tests"
# Such a datagram takes 832 bytes of the buffer, measured with Linux 6; others may take more.
_DATAGRAM_BYTES = 1_024


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis for all tests here."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path, redis: RedisServer) -> Iterator[Fleet]:
    """Give a server of two workers that wants a token."""
    throttle = {"token": TOKEN}
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, workers=2, throttle=throttle)) as fleet:
        yield fleet


def send(fleet: Fleet, count: int) -> None:
    """Send so many datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            line = f"<190>extauth: rid={number} lease=L".encode().ljust(100)
            sender.sendto(line, (HOST, fleet.completion_port))


def room() -> int:
    """Return how many datagrams fit the receive buffer that the system gives."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return min(4_000, probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _DATAGRAM_BYTES)


def wait_for_signals(fleet: Fleet, count: int, form: str) -> None:
    """Wait until so many were taken, by all workers together."""
    wait_until(lambda: fleet.metric(SIGNALS, form=form) == count, within=PATIENCE, what=f"{count} signals")


def done(fleet: Fleet, stack: ExitStack, token: str = TOKEN) -> http.client.HTTPConnection:
    """Report a request on a connection of its own, which stays open; it is answered 204."""
    connection = http.client.HTTPConnection(HOST, fleet.completion_port, timeout=PATIENCE)
    stack.callback(connection.close)
    connection.request("POST", "/done", b"r1", {"authorization": f"Bearer {token}"})
    assert connection.getresponse().status == (204 if token == TOKEN else 401)
    return connection


def report(connection: http.client.HTTPConnection) -> int:
    """Report a request without a token, and return the status of the answer."""
    connection.request("POST", "/done", b"r1")
    return connection.getresponse().status


def test_a_stopped_server_loses_no_datagrams(fleet: Fleet) -> None:
    """Those that come while all workers stand still are read when they go on, and counted once."""
    count = room()
    process_ids = fleet.process_ids()
    for process_id in process_ids:
        os.kill(process_id, signal.SIGSTOP)
    send(fleet, count)
    for process_id in process_ids:
        os.kill(process_id, signal.SIGCONT)
    wait_for_signals(fleet, count, "lines")
    assert fleet.metric("extauth_completion_unread_total") == 0


def test_a_worker_that_stands_still_holds_nothing_up(fleet: Fleet) -> None:
    """The other one reads what comes; what a stopped worker hasn't taken is nobody's alone."""
    stopped, running_id = fleet.process_ids()
    os.kill(stopped, signal.SIGSTOP)
    try:
        send(fleet, 200)
        wait_for_signals(fleet, 200, "lines")
    finally:
        os.kill(stopped, signal.SIGCONT)
    os.kill(running_id, signal.SIGSTOP)
    try:
        send(fleet, 200)
        wait_for_signals(fleet, 400, "lines")
    finally:
        os.kill(running_id, signal.SIGCONT)


def test_datagrams_outlive_the_workers(fleet: Fleet) -> None:
    """All workers are killed with datagrams unread: those that take their places read them."""
    process_ids = fleet.process_ids()
    for process_id in process_ids:
        os.kill(process_id, signal.SIGSTOP)
    send(fleet, 100)
    for number in range(2):
        fleet.kill_worker(number)
    wait_until(lambda: fleet.process_ids() != process_ids, within=PATIENCE, what="one is replaced")
    wait_for_signals(fleet, 100, "lines")


def test_connections_spread_over_the_workers(fleet: Fleet) -> None:
    """Signals over HTTP reach both, and are counted together."""
    with ExitStack() as stack:
        connections = [done(fleet, stack) for _ in range(8)]
        wait_for_signals(fleet, 8, "done")
        assert fleet.metric("extauth_completion_open_connections") == 8
        # One that stands still doesn't answer: there are some of each.
        stopped = fleet.process_ids()[1]
        os.kill(stopped, signal.SIGSTOP)
        try:
            for connection in connections:
                connection.request("POST", "/done", b"r2", {"authorization": f"Bearer {TOKEN}"})
            wait_until(
                lambda: fleet.metric(SIGNALS, form="done") > 8, within=PATIENCE, what="one has answered"
            )
            assert fleet.metric(SIGNALS, form="done") < 16
        finally:
            os.kill(stopped, signal.SIGCONT)
        wait_for_signals(fleet, 16, "done")


def test_a_wrong_token_is_refused_by_each_worker(fleet: Fleet) -> None:
    """And counted; no line of the log and no command line holds the right one."""
    with ExitStack() as stack:
        for _ in range(8):
            done(fleet, stack, token="another-token-of-these-tests")
    assert fleet.metric("extauth_completion_refusals_total", status="401") == 8
    assert fleet.metric(SIGNALS) == 0
    assert TOKEN not in fleet._log.read_text() + fleet.child.output()
    for process_id in fleet.process_ids():
        assert TOKEN not in Path(f"/proc/{process_id}/cmdline").read_text()


def test_what_was_answered_counts_to_the_end(tmp_path: Path, redis: RedisServer) -> None:
    """Datagrams that were there when the server was told to end are read; the exit is clean."""
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, workers=2)) as fleet:
        process_id, other = fleet.process_ids()
        for each in (process_id, other):
            os.kill(each, signal.SIGSTOP)
        send(fleet, 300)
        # Told to end before it can read any of them; the other one stays as it is.
        os.kill(process_id, signal.SIGTERM)
        os.kill(process_id, signal.SIGCONT)
        wait_for_signals(fleet, 300, "lines")
        os.kill(other, signal.SIGCONT)
        wait_until(fleet.serving, within=PATIENCE, what="all work again")
        assert fleet.metric(SIGNALS, form="lines") == 300
        os.kill(fleet.supervisor(), signal.SIGTERM)
        assert fleet.exit_code() == 0


def test_other_networks_are_not_listened_to(tmp_path: Path, redis: RedisServer) -> None:
    """Neither their datagrams nor their connections: both are counted, and free nothing."""
    throttle = {"sources": ["192.0.2.0/24"]}
    with served(Fleet(tmp_path / "fleet", store_url=redis.url, workers=2, throttle=throttle)) as fleet:
        send(fleet, 10)
        connection = http.client.HTTPConnection(HOST, fleet.completion_port, timeout=PATIENCE)
        # It may be closed before or after the request is written.
        with pytest.raises((OSError, http.client.HTTPException)):
            report(connection)
        connection.close()
        wait_until(
            lambda: fleet.metric("extauth_completion_unread_total", why="foreign") == 11,
            within=PATIENCE,
            what="all are counted",
        )
        assert fleet.metric(SIGNALS) == 0
