"""How a server ends that is told to: who is answered, with what, and how long it takes at most."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import accepts, wait_until
from tests.redis.server import RedisServer, running
from tests.sockets.client import Client
from tests.sockets.wire import request, with_key

from .fleet import PATIENCE
from .in_flight import report
from .node import HOST, Answer, Node

ONE_AT_A_TIME = {"default": {"rates": ["1000/second"], "concurrency": {"max": 1, "queue": 4, "wait": "30s"}}}

Start = Callable[..., Node]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """End what a test has begun."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(tmp_path: Path, stack: ExitStack) -> Start:
    """Give what starts a server: `embedded` in one process, or two `workers` on a Redis."""

    def started(kind: str, *, drain: dict[str, str], **sections: Any) -> Node:
        url = f"sqlite:///{tmp_path / 'extauth.db'}"
        if kind == "workers":
            url = stack.enter_context(running(RedisServer(tmp_path / "redis"))).url
            sections |= {"workers": 2, "failure": {"deadline": "10s"}}
        node = Node(tmp_path / "node", store_url=url, listen={"drain": drain}, **sections)
        stack.callback(node.child.stop)
        stack.callback(node.close)
        node.child.start()
        return node

    return started


def asked_later(node: Node, key: str, stack: ExitStack) -> Future[Answer]:
    """Ask for the only slot, which is taken, and return once the check waits."""
    pool = stack.enter_context(ThreadPoolExecutor(1))
    answer = pool.submit(node.ask, key)
    wait_until(lambda: node.metric("extauth_queued_checks") == 1, within=PATIENCE, what="it waits")
    return answer


def readiness(node: Node) -> tuple[int, Any]:
    """Return what `/readyz` says."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{node.admin_port}/readyz", timeout=10) as page:
            return page.status, json.load(page)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("kind", ["embedded", "workers"])
def test_load_balancers_hear_of_it_first(start: Start, kind: str) -> None:
    """While the delay lasts it isn't ready, says why, and answers as before; a second signal ends that."""
    node = start(kind, drain={"delay": "1h"})
    key = str(node.create_key()["key"])
    assert node.check(key) == 200
    node.child.signal(signal.SIGTERM)
    wait_until(lambda: readiness(node)[0] == 503, within=PATIENCE, what="it isn't ready")
    assert readiness(node)[1]["parts"]["server"] == "stopping"
    assert node.metric("extauth_ready") == 0
    with Client((HOST, node.check_port)) as client:
        answers = [client.ask(request("/envoy/v1/x", with_key(key))) for _ in range(3)]
    assert [(answer.status, answer.header("connection")) for answer in answers] == [(200, None)] * 3
    node.child.signal(signal.SIGTERM)
    assert node.child.wait() == 0


def test_who_waits_gets_the_slot_that_is_reported_free(start: Start, stack: ExitStack) -> None:
    """Reports are taken until all are answered, also such as come while nobody is let in any more."""
    node = start("workers", drain={"timeout": "60s"}, tiers=ONE_AT_A_TIME)
    key = str(node.create_key()["key"])
    lease = node.ask(key).headers["x-extauth-lease"]
    node.close()
    answer = asked_later(node, key, stack)
    node.child.signal(signal.SIGTERM)
    wait_until(lambda: not accepts(node.check_port), within=PATIENCE, what="nobody is let in")
    report(node, "any", lease)
    assert answer.result(PATIENCE).status == 200
    assert node.child.wait() == 0


def test_who_waits_for_too_long_is_told_so(start: Start, stack: ExitStack) -> None:
    """With the refusal that he would have got in the end, and not with a broken connection."""
    node = start("embedded", drain={"timeout": "500ms"}, tiers=ONE_AT_A_TIME)
    key = str(node.create_key()["key"])
    assert node.check(key) == 200
    answer = asked_later(node, key, stack)
    node.child.signal(signal.SIGTERM)
    told = answer.result(PATIENCE)
    assert (told.status, told.body["code"]) == (429, "too_many_concurrent_requests")
    assert told.headers["connection"] == "close"
    assert int(told.headers["retry-after"]) > 0
    assert node.child.wait() == 0


def test_whoever_never_finishes_holds_nobody_up(start: Start) -> None:
    """Half a head, and a client that reads nothing: they are cut off when the time is over."""
    node = start("workers", drain={"timeout": "500ms", "linger": "100ms"})
    with (
        Client((HOST, node.check_port)) as half,
        Client((HOST, node.check_port), receive_buffer=4096) as deaf,
    ):
        half.send(request()[:-5])
        deaf.socket.settimeout(0.5)
        fill(deaf.socket)
        wait_until(
            lambda: node.metric("extauth_open_connections") == 2, within=PATIENCE, what="both are there"
        )
        node.child.signal(signal.SIGTERM)
        assert node.child.wait() == 0


def fill(connection: socket.socket) -> None:
    """Ask until the server takes no more, because nobody reads its answers."""
    try:
        while True:
            connection.sendall(request() * 1_000)
    except TimeoutError:
        return


def test_without_connections_it_ends_at_once(start: Start) -> None:
    """No time is waited out for nobody."""
    node = start("embedded", drain={"linger": "1h", "timeout": "2h"})
    node.child.signal(signal.SIGTERM)
    assert node.child.wait() == 0
