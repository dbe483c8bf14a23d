from __future__ import annotations

import select
import time
from pathlib import Path

import pytest

from extauth.server.connections import ConnectionLimits

from .client import PATIENCE, Client, many
from .conftest import running
from .in_process import Listener
from .service import Service
from .wire import request

_LIMITS = ConnectionLimits()
_MEGABYTE = 1024 * 1024
_TINY = b"GET /envoy/ HTTP/1.1\r\nHost:a\r\n\r\n"


def _send_until_cut_off(client: Client, others: Service) -> int:
    """Send requests and never read; return how many bytes the server and the kernel took before the end."""
    requests = request("/envoy/any") * 500
    client.socket.setblocking(False)
    taken = 0
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        others.assert_healthy()
        _, writable, _ = select.select([], [client.socket], [], 0.05)
        if not writable:
            continue
        try:
            taken += client.socket.send(requests)
        except BlockingIOError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return taken
    raise AssertionError("a client that reads nothing was never cut off")


def test_a_client_that_never_reads_is_held_up_and_cut_off(impatient: Service) -> None:
    """Its requests are not read while its answers aren't: the server holds little for it, and not long."""
    impatient.assert_healthy()
    before = impatient.resident_bytes
    with Client(impatient.address, receive_buffer=4096) as client:
        taken = _send_until_cut_off(client, impatient)
    # Some megabytes lie in the kernel's own buffers, on both ways.
    assert taken < 40 * _MEGABYTE
    assert impatient.resident_bytes - before < 20 * _MEGABYTE
    impatient.assert_healthy()


def test_clients_that_never_read_cost_little_memory_each(folder: Path) -> None:
    """Forty of them, with the smallest requests in the largest reads, which have the most to be answered."""
    with running(Service(folder)) as service, many(service.address, 40, receive_buffer=4096) as clients:
        service.assert_healthy()
        before = service.resident_bytes
        for _ in range(3):
            for client in clients:
                client.send_what_is_taken_now(_TINY * 9_000)
            service.assert_healthy()
        assert service.resident_bytes - before < 1.5 * _MEGABYTE * len(clients)


@pytest.mark.parametrize("line", [b"", b"Connection: keep-alive\r\n"], ids=["plain", "looked at closely"])
def test_answers_to_one_read_are_bounded_too(line: bytes) -> None:
    """A read may hold thousands of requests: those beyond what may lie unread are not answered yet."""
    with Listener() as listener:
        connection = listener.connect()
        connection.transport.stalled = True
        connection.send(
            _TINY.replace(b"\r\n\r\n", b"\r\n%b\r\n" % line) * (256_000 // (len(_TINY) + len(line)))
        )
        assert len(connection.transport.written) < _MEGABYTE


def test_reading_stops_while_output_is_not_taken() -> None:
    """Back-pressure: above some hundred answers that nobody reads, no request is read either."""
    with Listener() as listener:
        connection = listener.connect()
        connection.transport.stalled = True
        connection.send(*[request() * 100] * 200)
        assert not connection.transport.reading
        assert len(connection.transport.written) < 400_000


def test_a_client_that_reads_again_gets_every_answer() -> None:
    """Being held up loses nothing and changes no order."""
    with Listener() as listener:
        connection = listener.connect()
        connection.transport.stalled = True
        targets = [f"/envoy/{number}" for number in range(8_000)]
        connection.send(
            *[b"".join(map(request, targets[start : start + 100])) for start in range(0, 8_000, 100)]
        )
        assert len(connection.statuses()) < len(targets)
        while not connection.transport.reading:
            listener.turn(connection.transport.drain)
            connection.send()
        assert [echo["target"] for echo in connection.echoes()] == targets


def test_a_deaf_client_is_cut_off_in_time() -> None:
    """It has as long as a head may take."""
    with Listener() as listener:
        connection = listener.connect()
        connection.transport.stalled = True
        connection.send(*[request() * 100] * 200)
        listener.pass_time(_LIMITS.head_seconds - 1)
        assert len(listener.connections) == 1
        listener.pass_time(3)
        assert connection.transport.lost
        assert len(listener.connections) == 0


def test_the_last_answer_is_not_kept_for_ever() -> None:
    """A client that asks for the end of the connection and never reads what comes before it is cut off."""
    with Listener() as listener:
        connection = listener.connect()
        connection.transport.stalled = True
        connection.send(request("/envoy/any", "Connection: close"))
        listener.pass_time(_LIMITS.idle_seconds + _LIMITS.head_seconds + 5)
        assert connection.transport.lost


def test_an_idle_client_that_read_nothing_is_cut_off() -> None:
    """An idle connection ends after the idle time-out also where its last answers were never read."""
    with Listener() as listener:
        connection = listener.connect()
        connection.transport.stalled = True
        connection.send(request())
        listener.pass_time(_LIMITS.idle_seconds + _LIMITS.head_seconds + 5)
        assert connection.transport.lost
