from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extauth.bounded import BoundedCache
from extauth.server.protocol import CheckProtocol
from tests.waiting import eventually
from tests.world import World, open_world, settings_in

from .in_process import Connection, Listener
from .service import create_keys, resident_bytes

_EACH = 340_000  # of three kinds: a million in all
_WARM_UP = 50_000
_BATCH = 500
_ALLOWED_GROWTH = 30 * 1024 * 1024
_CACHE = 1_000


class _Flood:
    """A whole extauth in this process, and one connection over which everything comes."""

    def __init__(self, listener: Listener, world: World, key: str, log: Path) -> None:
        self._key = key
        self._listener = listener
        self._world = world
        self._log = log
        self._connection: Connection = listener.connect()

    def ask(self, numbers: range) -> None:
        """Ask with a malformed key, with a forged one and about a path, all three new with each number."""
        for start in range(numbers.start, numbers.stop, _BATCH):
            batch = range(start, start + _BATCH)
            self._send(
                (_request(f"/{number % 7}", f"wrong-{number}", number) for number in batch), status=401
            )
            self._send((_request("/a", _forged(number), number) for number in batch), status=401)
            self._send((_request(f"/orders/{number}", self._key, number) for number in batch), status=200)

    def _send(self, requests: Iterator[str], *, status: int) -> None:
        self._connection.send("".join(requests).encode())
        transport = self._connection.transport
        # On a busy machine a look for changed keys may be late. Then the key is looked up again.
        self._listener.run(eventually(lambda: transport.written.count(b"HTTP/1.1 ") == _BATCH, within=30.0))
        assert transport.written.count(b"HTTP/1.1 %d " % status) == _BATCH
        transport.written = b""
        self._listener.run(self._world.lines.flush())
        os.truncate(self._log, 0)


def _request(path: str, key: str, number: int) -> str:
    return (
        f"GET /envoy{path} HTTP/1.1\r\nhost: h{number}.example\r\nx-api-key: {key}\r\n"
        f"x-request-id: {number}\r\nx-extauth-client-ip: {number}\r\n\r\n"
    )


def _forged(number: int) -> str:
    return f"xa_live_{number:012}_{number:043}{number:08}"


@pytest.fixture
def flood(tmp_path: Path) -> Iterator[_Flood]:
    """An extauth with small key caches, so that they are full soon."""
    caches = dict.fromkeys(("verified", "records", "rejected"), _CACHE)
    sections: dict[str, Any] = {"keys": {"cache": caches}, "tiers": {"roomy": {}}}
    with Listener() as listener:
        (key,) = listener.run(create_keys(settings_in(tmp_path, **sections), ["roomy"]))
        world = listener.enter(open_world(tmp_path, **sections))
        listener.responder = world.app.responder
        # From now on the key is known, and each answer with it is at hand.
        assert listener.run(world.ask(key=key)).status == 200
        yield _Flood(listener, world, key, tmp_path / "decisions.log")


def test_a_million_wrong_keys_and_paths_fill_no_memory(flood: _Flood) -> None:
    """Strangers' keys, paths, hosts, request ids and addresses are remembered within bounds only."""
    flood.ask(range(_WARM_UP))
    gc.collect()
    before = resident_bytes(os.getpid())
    flood.ask(range(_WARM_UP, _WARM_UP + _EACH))
    gc.collect()
    assert resident_bytes(os.getpid()) - before < _ALLOWED_GROWTH
    caches = [thing for thing in gc.get_objects() if isinstance(thing, BoundedCache)]
    assert len(caches) >= 3
    for cache in caches:
        assert cache.held <= 2 * cache._size


def test_a_connection_that_was_lost_is_gone_at_once() -> None:
    """Without the collector, which looks for what lived long as seldom as it can."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(b"GET /envoy/a HTTP/1.1\r\nhost: a\r\n\r\n")
        gc.collect()
        gc.disable()
        try:
            before = _held(listener)
            connection.transport.abort()
            listener.turn(lambda: None)
            del connection
            assert (before, _held(listener)) == (1, 0)
        finally:
            gc.enable()


def _held(listener: Listener) -> int:
    """Count this listener's connections in memory: another test's may live on in its traceback."""
    return sum(
        isinstance(thing, CheckProtocol) and thing._connections is listener.connections
        for thing in gc.get_objects()
    )
