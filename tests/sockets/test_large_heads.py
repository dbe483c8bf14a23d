from __future__ import annotations

import pytest

from extauth.server.connections import ConnectionLimits

from .client import Client, many
from .in_process import Listener
from .service import Keys, Service
from .wire import Answer, request, with_key

_LIMITS = ConnectionLimits()
_MEGABYTE = 1024 * 1024
# What a few large heads may cost the server in memory that it doesn't give back, in bytes.
_ALLOWANCE = 12 * _MEGABYTE


def _refusal_of(service: Service, data: bytes) -> Answer:
    """Return the one answer to a head that the server may refuse before it has read all of it."""
    with Client(service.address) as client:
        client.send_what_is_taken(data + request("/envoy/any", "Connection: close"))
        answer, *others = client.receive_until_end()
    assert others == []
    service.assert_healthy()
    return answer


@pytest.mark.parametrize(
    "data",
    [
        request("/envoy/any", f"X-Long: {'v' * _MEGABYTE}"),
        request(f"/envoy/{'p' * _MEGABYTE}"),
        request(f"/envoy/a?{'q' * _MEGABYTE}"),
        request("/envoy/any", f"{'n' * _MEGABYTE}: v"),
        request("/envoy/any", *(f"X-{number}: {'v' * 1_000}" for number in range(1_000))),
        request("/envoy/any", host="h" * _MEGABYTE),
    ],
    ids=["value", "path", "query", "name", "lines", "host"],
)
def test_a_head_of_a_megabyte_is_refused(service: Service, data: bytes) -> None:
    """431 with a problem, wherever the megabyte stands, as soon as the bound is passed."""
    answer = _refusal_of(service, data)
    assert answer.status == 431
    assert answer.problem()["code"] == "head_too_large"
    assert answer.ends_connection


def test_heads_of_a_megabyte_cost_no_memory(service: Service) -> None:
    """A hundred of them leave the process as large as it was."""
    data = request("/envoy/any", f"X-Long: {'v' * _MEGABYTE}")
    _refusal_of(service, data)
    before = service.resident_bytes
    for _ in range(100):
        _refusal_of(service, data)
    assert service.resident_bytes - before < _ALLOWANCE


def test_unfinished_large_heads_cost_no_memory(service: Service) -> None:
    """A hundred clients that each send a megabyte of one header, and never end it, fill no memory."""
    before = service.resident_bytes
    with many(service.address, 100) as clients:
        for client in clients:
            client.send_what_is_taken(request("/envoy/any", f"X-Long: {'v' * _MEGABYTE}")[:-4])
        service.assert_healthy()
        assert service.resident_bytes - before < _ALLOWANCE
        for client in clients:
            assert [answer.status for answer in client.receive_until_end()] == [431]


def test_an_unfinished_head_is_refused_when_it_is_too_large() -> None:
    """One read beyond the bound is enough: nothing is gained by waiting for its end."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", f"X-Long: {'v' * (2 * _LIMITS.head_bytes)}")[:-4])
        assert connection.statuses() == [431]
        assert connection.ended


def test_a_large_head_in_small_reads_is_refused_at_the_bound() -> None:
    """Not only reads are counted, but all of a head together."""
    with Listener() as listener:
        connection = listener.connect()
        head = request("/envoy/any", f"X-Long: {'v' * (4 * _LIMITS.head_bytes)}")
        sent = 0
        while not connection.ended:
            connection.send(head[sent : sent + 1_000])
            sent += 1_000
        assert connection.statuses() == [431]
        assert sent < 2 * _LIMITS.head_bytes


def test_heads_within_the_bound_are_read(client: Client, keys: Keys) -> None:
    """Room for what proxies pass on: heads of nearly the bound, in one line and in many."""
    room = _LIMITS.head_bytes - 2_000
    line = f"X-Long: {'v' * room}"
    lines = [f"X-{number:02}: {'v' * (room // 80)}" for number in range(80)]
    assert client.ask(request("/envoy/any", with_key(keys.valid), line)).status == 200
    assert client.ask(request("/envoy/any", with_key(keys.valid), *lines)).status == 200


@pytest.mark.parametrize("reads", [1, 2, 3, 50])
def test_the_bound_on_bytes_holds_however_a_head_comes(reads: int) -> None:
    """A head that is a little larger than the bound is refused, also where none of its reads is."""
    head = request("/envoy/any", f"X-Long: {'v' * _LIMITS.head_bytes}")
    size = -(-len(head) // reads)
    with Listener() as listener:
        connection = listener.connect()
        connection.send(*(head[start : start + size] for start in range(0, len(head), size)))
        assert connection.statuses() == [431]


def test_the_bound_on_lines_is_exact() -> None:
    """As many lines as are promised, Host among them, and not one more."""
    for lines, status in ((_LIMITS.head_lines, 200), (_LIMITS.head_lines + 1, 431)):
        with Listener() as listener:
            connection = listener.connect()
            connection.send(request("/envoy/any", *(f"X-{number}: v" for number in range(lines - 1))))
            assert connection.statuses() == [status], lines


def test_thousands_of_headers_are_refused(service: Service) -> None:
    """Each of another name, each tiny."""
    answer = _refusal_of(service, request("/envoy/any", *(f"X-{number}:" for number in range(5_000))))
    assert answer.status == 431


@pytest.mark.parametrize("value", ["", "v", "v" * 40])
@pytest.mark.parametrize("name", ["X-Same", "X-API-Key", "Cookie"])
def test_thousands_of_repetitions_of_a_header_are_refused(service: Service, name: str, value: str) -> None:
    """The bound on lines counts lines, not names."""
    answer = _refusal_of(service, request("/envoy/any", *[f"{name}: {value}"] * 5_000))
    assert answer.status == 431


def test_the_bound_on_lines_counts_repetitions() -> None:
    """A name that stands on each of too many lines is as much work as different names."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", *["X-Same: v"] * _LIMITS.head_lines))
        assert connection.statuses() == [431]


def test_large_heads_of_several_requests_are_measured_one_by_one() -> None:
    """Ten heads in one read, each within the bound, are ten requests."""
    with Listener() as listener:
        connection = listener.connect()
        connection.send(request("/envoy/any", f"X-Long: {'v' * (_LIMITS.head_bytes // 2)}") * 10)
        assert connection.statuses() == [200] * 10
