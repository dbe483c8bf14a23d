"""Servers that are restarted while they are asked: no check fails, and what was in flight still is."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import wait_until
from tests.redis.server import RedisServer, running

from .fleet import PATIENCE
from .holding import hand_over, hold, told_by
from .in_flight import report
from .load import Load
from .node import Node

# A machine that runs tests may be slower than checks wait for Redis.
PATIENT = {"deadline": "10s"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """End what a test has begun."""
    with ExitStack() as stack:
        yield stack


def node_of(kind: str, folder: Path, stack: ExitStack, **sections: Any) -> Node:
    """Give a server of this kind that isn't started yet: `embedded`, or two `workers` on a Redis."""
    url = f"sqlite:///{folder / 'extauth.db'}"
    if kind == "workers":
        url = stack.enter_context(running(RedisServer(folder / "redis"))).url
        sections |= {"workers": 2, "failure": PATIENT}
    node = Node(folder / "node", store_url=url, **sections)
    stack.callback(node.child.stop)
    stack.callback(node.close)
    return node


def next_of(node: Node, folder: Path, stack: ExitStack) -> Node:
    """Give another server on the embedded store and the sockets of this one; neither is started yet."""
    next_one = Node(folder / "next", store_url=f"sqlite:///{folder / 'extauth.db'}")
    stack.callback(next_one.child.stop)
    held = hold(node, stack)
    for each in (node, next_one):
        hand_over(each, held)
    return next_one


def wait_for(load: Load, more: int = 100) -> None:
    """Wait until so many more have been answered."""
    before = load.asked
    wait_until(lambda: load.asked >= before + more, within=PATIENCE, what="checks are answered")


@pytest.mark.parametrize("kind", ["embedded", "workers"])
def test_no_check_fails_while_somebody_holds_the_sockets(kind: str, tmp_path: Path, stack: ExitStack) -> None:
    """Stopped and started again at 200 checks a second: they wait in the kernel until there is a process."""
    node = node_of(kind, tmp_path, stack)
    hand_over(node, hold(node, stack))
    node.child.start()
    key = str(node.create_key()["key"])
    with Load(node.check_port, key) as load:
        wait_for(load)
        node.child.stop()
        node.child.start()
        wait_for(load)
    assert load.came_of == {"200": load.asked}
    assert node.child.output() == ""


def test_two_servers_on_the_same_sockets_leave_no_gap(
    tmp_path: Path, redis: RedisServer, stack: ExitStack
) -> None:
    """Restarted one after the other: there is always one that answers, and none of the checks waits."""
    first, second = (
        Node(tmp_path / name, store_url=redis.url, failure=PATIENT) for name in ("first", "second")
    )
    held = hold(first, stack)
    for node in (first, second):
        hand_over(node, held)
        stack.callback(node.child.stop)
        node.child.start()
    key = str(first.create_key()["key"])
    with Load(first.check_port, key) as load:
        for node in (first, second):
            wait_for(load)
            node.child.stop()
            wait_for(load)
            node.child.start()
        wait_for(load)
    assert load.came_of == {"200": load.asked}


def test_an_embedded_store_is_waited_for(tmp_path: Path, stack: ExitStack) -> None:
    """A process that takes over the sockets before the other one has ended begins when that has."""
    node = node_of("embedded", tmp_path, stack, listen={"drain": {"delay": "1500ms"}})
    next_one = next_of(node, tmp_path, stack)
    node.child.start()
    key = str(node.create_key()["key"])
    with Load(node.check_port, key) as load:
        wait_for(load)
        node.child.signal(signal.SIGTERM)
        next_one.child.start()
        wait_for(load)
    assert load.came_of == {"200": load.asked}


def test_a_server_that_waits_for_another_one_can_be_stopped(tmp_path: Path, stack: ExitStack) -> None:
    """It is told to stop during its start, and ends in order: nothing that it has opened is lost."""
    node = node_of("embedded", tmp_path, stack)
    next_one = next_of(node, tmp_path, stack)
    node.child.start()
    lock = str(tmp_path / "extauth-limits.lock")
    next_one.child._ready = lambda: lock in next_one.child.files()
    next_one.child.start()
    next_one.child.signal(signal.SIGTERM)
    assert next_one.child.wait() == 0
    assert next_one.child.output() == ""


def test_a_request_in_flight_stays_so_over_a_restart(tmp_path: Path, stack: ExitStack) -> None:
    """Its slot is neither lost nor there twice; a report that comes between two processes frees it."""
    tiers = {"default": {"rates": ["1000/second"], "concurrency": {"max": 1}}}
    node = node_of("embedded", tmp_path, stack, tiers=tiers)
    hand_over(node, hold(node, stack))
    node.child.start()
    key = str(node.create_key()["key"])
    held = node.ask(key)
    assert held.status == 200
    node.close()
    node.child.stop()
    node.child.start()
    assert node.check(key) == 429
    node.close()
    node.child.stop()
    report(node, "any", held.headers["x-extauth-lease"])
    node.child.start()
    ended = "extauth_leases_ended_total"
    wait_until(lambda: node.metric(ended, by="signal") == 1, within=PATIENCE, what="it has ended")
    assert [node.check(key), node.check(key)] == [200, 429]


@pytest.mark.parametrize("kind", ["embedded", "workers"])
def test_what_was_answered_was_counted(kind: str, tmp_path: Path, stack: ExitStack) -> None:
    """Told to end in the middle of it: usage, limits and the last use are those of the answers."""
    tiers = {"default": {"rates": [{"rate": "100000/day", "algorithm": "fixed_window"}, shadow()]}}
    node = node_of(kind, tmp_path, stack, tiers=tiers)
    node.child.start()
    made = node.create_key()
    with Load(node.check_port, str(made["key"])) as load:
        wait_for(load)
        node.child.signal(signal.SIGTERM)
        assert node.child.wait() == 0
    allowed = load.came_of["200"]
    assert load.asked > allowed >= 100
    assert all(re.match(r"Connection|200", what) for what in load.came_of), load.came_of
    assert node.command("usage", "--by", "none")["series"][0]["total"]["allowed"] == allowed
    (limit,) = [each for each in limits_of(node, made) if not each["shadow"]]
    assert limit["remaining"] == 100_000 - allowed
    assert node.command("keys", "show", made["key_id"])["last_used"] is not None
    (shadowed,) = node.command("limits", "shadow-report")["limits"]
    assert shadowed["requests"] == allowed - 10


def shadow() -> dict[str, Any]:
    """Return a limit of ten a day that only counts whom it would have refused."""
    return {"rate": "10/day", "algorithm": "fixed_window", "shadow": True, "name": "ten"}


def limits_of(node: Node, made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how the limits of a key stand."""
    told: list[dict[str, Any]] = node.command("keys", "limits", made["key_id"])["limits"]
    return told


def test_systemd_is_told(tmp_path: Path, stack: ExitStack) -> None:
    """When checks are answered, when the configuration is loaded again, and when the server stops."""
    node = node_of("embedded", tmp_path, stack)
    told = stack.enter_context(told_by(node, tmp_path))
    node.child.start()
    assert "READY=1" in told.recv(4_096).decode()
    node.child.signal(signal.SIGHUP)
    assert [word in told.recv(4_096).decode() for word in ("RELOADING=1", "READY=1")] == [True, True]
    node.child.stop()
    assert "STOPPING=1" in told.recv(4_096).decode()
