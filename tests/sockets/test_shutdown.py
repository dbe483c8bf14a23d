from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import wait_until

from .client import PATIENCE, Client
from .in_process import SLOW, Listener
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
    """SIGTERM while argon2 works for it and a request waits behind it; idle connections end at once."""
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


def test_a_stopping_listener_answers_what_it_has_read() -> None:
    """All that waits is answered in order, then the connection ends; idle and half-read ones end at once."""
    with Listener() as listener:
        waiting, idle, half = listener.connect(), listener.connect(), listener.connect()
        waiting.send(request(SLOW + "/1") + request("/envoy/2") + request(SLOW + "/3"))
        idle.send(request())
        half.send(request()[:-5])
        listener.stop()
        assert (idle.transport.lost, half.transport.lost, waiting.ended) == (True, True, False)
        listener.release()
        listener.release()
        assert [echo["target"] for echo in waiting.echoes()] == [SLOW + "/1", "/envoy/2", SLOW + "/3"]
        assert waiting.transport.lost


def test_a_stopping_listener_reads_no_new_requests() -> None:
    """What comes after the signal is not taken on."""
    with Listener() as listener:
        waiting = listener.connect()
        waiting.send(request(SLOW))
        listener.stop()
        waiting.send(request())
        listener.release()
        assert waiting.statuses() == [200]
