from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import wait_until

from .client import PATIENCE, Client
from .in_process import SLOW, Connection, Listener
from .service import Service
from .wire import request, with_key

# A verification takes long enough that the server is told to stop in the middle of it.
_DEAR_HASHING = "memory_kib: 131072, time_cost: 6, workers: 1, queue: 10"


@pytest.fixture
def stopping(folder: Path) -> Iterator[Service]:
    """A server for one test, in which argon2 takes long."""
    service = Service(folder, hashing=_DEAR_HASHING)
    service.start()
    yield service
    service.stop()


def test_a_request_that_waits_is_answered_before_the_server_stops(stopping: Service) -> None:
    """SIGTERM while argon2 works for it and a request waits behind it; an idle connection ends soon."""
    with Client(stopping.address) as waiting, Client(stopping.address) as idle:
        assert idle.ask(request("/envoy/open/a")).status == 200
        waiting.send(request("/envoy/any", with_key(stopping.keys.valid)) + request())
        # Both requests are read once a later one on another connection is answered.
        idle.ask(request("/envoy/open/a"))
        waiting.assert_silent_and_open()
        stopping.terminate()
        idle.assert_ended()
        assert [answer.status for answer in waiting.receive_until_end()] == [200, 401]
    wait_until(
        lambda: stopping.log_lines()[-1]["event"] == "stopped", within=PATIENCE, what="the server stopped"
    )


def closes(connection: Connection) -> list[bool]:
    """Tell of each answer so far whether it says that the connection ends."""
    return [answer.ends_connection for answer in connection.answers()]


def test_a_stopping_listener_answers_what_it_has_read() -> None:
    """All that waits is answered in order; only the last answer says that the connection ends."""
    with Listener() as listener:
        waiting = listener.connect()
        waiting.send(request(SLOW + "/1") + request("/envoy/2") + request(SLOW + "/3"))
        listener.stop()
        listener.release()
        listener.release()
        assert [echo["target"] for echo in waiting.echoes()] == [SLOW + "/1", "/envoy/2", SLOW + "/3"]
        assert closes(waiting) == [False, False, True]
        assert waiting.transport.lost


def test_what_comes_while_the_listener_stops_is_answered() -> None:
    """The rest of half a request, and one behind another that waits: neither connection is idle."""
    with Listener() as listener:
        half, waiting = listener.connect(), listener.connect()
        half.send(request()[:-5])
        waiting.send(request(SLOW))
        listener.stop()
        listener.let_idle_go()
        half.send(request()[-5:])
        waiting.send(request("/envoy/behind"))
        listener.release()
        assert (closes(half), closes(waiting)) == ([True], [False, True])
        assert half.transport.lost
        assert waiting.transport.lost


def test_an_idle_connection_is_kept_until_it_is_let_go() -> None:
    """A check that comes meanwhile is answered, and told that the connection ends; several are, in order."""
    with Listener() as listener:
        used, several, unused = listener.connect(), listener.connect(), listener.connect()
        for connection in (used, several, unused):
            connection.send(request())
        listener.stop()
        assert not any(connection.ended for connection in (used, several, unused))
        used.send(request())
        several.send(request("/envoy/1") + request("/envoy/2") + request("/envoy/3"))
        assert closes(used) == [False, True]
        assert closes(several) == [False, False, False, True]
        assert (used.transport.lost, several.transport.lost, unused.ended) == (True, True, False)
        listener.let_idle_go()
        assert closes(unused) == [False]
        assert unused.transport.lost


def test_a_stopping_listener_refuses_as_ever_and_in_order() -> None:
    """What is no request is refused after the answers before it; one that ends its connection is the last."""
    with Listener() as listener:
        garbled, last = listener.connect(), listener.connect()
        listener.stop()
        garbled.send(request("/envoy/1") + b"no request\r\n\r\n")
        last.send(request("/envoy/1", "Connection: close") + request("/envoy/2"))
        assert garbled.statuses() == [200, 400]
        assert last.statuses() == [200]
        assert closes(last) == [True]
        assert last.ended


def test_a_large_read_is_answered_whole_while_the_listener_stops() -> None:
    """Piece by piece, as ever."""
    with Listener() as listener:
        many = listener.connect()
        listener.stop()
        many.send(request() * 500)
        assert closes(many) == [False] * 499 + [True]
        assert many.transport.lost
